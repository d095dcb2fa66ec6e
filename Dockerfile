# One static binary on an empty file system. `make image` writes the same image without a container engine: tools/image runs the
# "go build" of this file and reads its last stage, so what is said here holds for both.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY pkg pkg
ARG TARGETOS TARGETARCH VERSION=devel
# grpcnotrace: gRPC's request traces hold templates, which keep the linker from dropping what is not used: 62 MB instead of 34.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -tags grpcnotrace -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /nfs-csi ./cmd/nfs-csi

FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="nfs-csi" \
      org.opencontainers.image.description="Dynamic NFS volumes for Kubernetes" \
      org.opencontainers.image.source="https://github.com/nfs-csi/nfs-csi" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /nfs-csi /nfs-csi
# The controller's user. The node's pod asks for root, which mounting needs.
USER 65532:65532
ENTRYPOINT ["/nfs-csi"]
