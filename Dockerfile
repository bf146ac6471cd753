# The image of the operator and the fetchers. The chart chooses the command:
#   mailfetch-operator · mailfetch-fetcher run · mailfetch-fetcher probe · mailfetch-fetcher tools
#
# BASE may be any image with Python 3.11 or newer as `python`. BUILD_BASE must have the same Python, and pip.
ARG BASE=python:3.13-slim
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS build
WORKDIR /src
# /run/secrets/pip.conf is optional: settings of the place that builds, such as a mirror. It does not enter the image.
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements-build.txt ./
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /build \
    && python -m pip --python /build/bin/python install -q --require-hashes --only-binary=:all: -r requirements-build.txt
COPY requirements.txt ./
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/mailfetch \
    && python -m pip --python /opt/mailfetch/bin/python install -q --no-compile --require-hashes \
       --only-binary=:all: -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY fetcher fetcher
# No index and no dependencies: everything that this step needs was installed from the locks above.
RUN python -m pip --python /build/bin/python wheel -q --no-deps --no-index --no-build-isolation -w /wheels . \
    && python -m pip --python /opt/mailfetch/bin/python install -q --no-compile --no-deps --no-index \
       /wheels/*.whl
# The root file system will be read-only, so bytecode is made here (not checked against time stamps, which a build may
# reset); not of the thousands of generated classes of the Kubernetes client, of which hardly any is loaded: 50 MB.
RUN /opt/mailfetch/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x 'kubernetes/(aio/)?client/(api|models)/' /opt/mailfetch/lib

# The base without what a running service has no use for.
FROM ${BASE} AS trimmed
RUN for d in $(python -c 'import sys, sysconfig; print(sysconfig.get_path("stdlib"), *sys.path)'); do \
      rm -rf "$d"/ensurepip "$d"/idlelib "$d"/lib2to3 "$d"/test "$d"/turtledemo \
        "$d"/pip "$d"/pip-* "$d"/setuptools "$d"/setuptools-* "$d"/wheel "$d"/wheel-* "$d"/pkg_resources; \
    done; \
    rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/2to3*

FROM trimmed
LABEL org.opencontainers.image.title="mailfetch" \
      org.opencontainers.image.description="Downloads every mail of a mailbox exactly once into Redis Streams" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mailfetch /opt/mailfetch
ENV PATH=/opt/mailfetch/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
CMD ["mailfetch-fetcher", "--help"]
