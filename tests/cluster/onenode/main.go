// Command onenode is a whole Kubernetes in one executable, for tests: the control plane, the node
// agents, etcd, CoreDNS, kubectl and Helm. Sharing one binary lets them share the code that they have in common.
//
// The component is the name under which it is called (a symlink), or else the first argument:
// "onenode kubectl get nodes" and "kubectl get nodes" are the same.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	_ "time/tzdata" // Images and small systems may have no zone files.

	_ "github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	helm "helm.sh/helm/v4/pkg/cmd"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// cobraComponents are run by Kubernetes' own wrapper, which prints errors and sets the exit status.
var cobraComponents = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 func() *cobra.Command { return kubectl.NewDefaultKubectlCommand() },
}

func main() {
	name := filepath.Base(os.Args[0])
	if !isComponent(name) {
		if len(os.Args) < 2 || !isComponent(os.Args[1]) {
			usage()
		}
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	if name == "coredns" {
		coremain.Run()
		return
	}
	removeCoreDNSFlags()
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "helm":
		os.Exit(runHelm())
	default:
		os.Exit(cli.Run(cobraComponents[name]()))
	}
}

func isComponent(name string) bool {
	_, known := cobraComponents[name]
	return known || name == "etcd" || name == "coredns" || name == "helm"
}

func usage() {
	names := []string{"etcd", "coredns", "helm"}
	for name := range cobraComponents {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: onenode COMPONENT [ARGUMENT...]\ncomponents: %s\n", strings.Join(names, " "))
	os.Exit(2)
}

func runHelm() int {
	command, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
	if err == nil {
		err = command.Execute() // Prints its own errors.
	} else {
		fmt.Fprintln(os.Stderr, "helm:", err)
	}
	if err != nil {
		return 1
	}
	return 0
}

// removeCoreDNSFlags undoes a side effect of importing CoreDNS: it registers flags such as -version on the
// process-wide set, and kube-proxy, which takes that set over, would have them in place of its own.
func removeCoreDNSFlags() {
	coreDNS := map[string]bool{
		"conf": true, "dns.port": true, "p": true, "pidfile": true, "plugins": true, "quiet": true, "version": true,
	}
	kept := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	flag.CommandLine.VisitAll(func(f *flag.Flag) {
		if !coreDNS[f.Name] {
			kept.Var(f.Value, f.Name, f.Usage)
		}
	})
	flag.CommandLine = kept
}
