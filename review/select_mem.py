import sys, resource, tracemalloc
sys.path.insert(0, "/tmp/rev-atk/m/fetcher")
from mailfetch_fetcher.sources import graph
from mailfetch_fetcher.sources.graph_pages import Entry
class P:
    def listed(self):
        for p in range(1000):
            yield [Entry(id=("AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A" + "x"*100 + f"{p*1000+i:016d}"), received=1) for i in range(1000)]
s = graph.GraphSource.__new__(graph.GraphSource); s._pages = P(); s._selecting = False
a = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n = 0
for w in s._selected(0, ""): n += len(w.refs); break
print("MiB for select of 1,000,000 mails:", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - a) // 1024)
