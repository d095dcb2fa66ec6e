package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// repository makes one with the real Dockerfile and chart version around a small program.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Dockerfile":                       string(dockerfile),
		"go.mod":                           "module example.com/repository\n\ngo 1.26.0\n",
		"cmd/nfs-csi/main.go":              "package main\n\nimport \"fmt\"\n\nvar version string\n\nfunc main() { fmt.Print(version) }\n",
		"deploy/charts/nfs-csi/Chart.yaml": "name: nfs-csi\nappVersion: \"1.2.3\"\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// write runs the command and returns the archive's files, in a map and in their order.
func write(t *testing.T, args ...string) (archive []byte, files map[string][]byte) {
	t.Helper()
	output := filepath.Join(t.TempDir(), "out", "image.tar")
	var stderr bytes.Buffer
	if err := run(t.Context(), append(args, "-output", output), &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	archive, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(output))
	if err != nil || len(left) != 1 {
		t.Fatalf("beside the archive: %v, %v", left, err)
	}
	return archive, untar(t, bytes.NewReader(archive))
}

func untar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() != 0 || header.Uid != 0 || header.Gid != 0 {
			t.Errorf("%s: time %v, owner %d:%d", header.Name, header.ModTime, header.Uid, header.Gid)
		}
		if files[header.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
		if header.Name == "nfs-csi" && fs.FileMode(header.Mode) != 0o755 {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
	}
}

func decode[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	return value
}

// blob returns the content of a digest, and checks that it is.
func blob(t *testing.T, files map[string][]byte, digest v1.Hash) []byte {
	t.Helper()
	content, ok := files["blobs/sha256/"+digest.Hex]
	if !ok {
		t.Fatalf("no blob %s", digest)
	}
	if got, _, err := v1.SHA256(bytes.NewReader(content)); err != nil || got != digest {
		t.Fatalf("blob %s has digest %s, %v", digest, got, err)
	}
	return content
}

func TestArchiveHoldsTheImageOfTheDockerfile(t *testing.T) {
	_, files := write(t, "-root", repository(t))
	index := decode[v1.IndexManifest](t, files["index.json"])
	if len(index.Manifests) != 1 {
		t.Fatalf("index: %s", files["index.json"])
	}
	if got, want := index.Manifests[0].Annotations["io.containerd.image.name"], "ghcr.io/nfs-csi/nfs-csi:1.2.3"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	manifest := decode[v1.Manifest](t, blob(t, files, index.Manifests[0].Digest))
	config := decode[v1.ConfigFile](t, blob(t, files, manifest.Config.Digest))
	if config.OS != "linux" || config.Architecture != runtime.GOARCH {
		t.Errorf("platform %s/%s", config.OS, config.Architecture)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/nfs-csi"}) {
		t.Errorf("config %+v", config.Config)
	}
	if got := config.Config.Labels["org.opencontainers.image.version"]; got != "1.2.3" || len(config.Config.Labels) != 5 {
		t.Errorf("labels %v", config.Config.Labels)
	}
	if len(manifest.Layers) != 1 {
		t.Fatalf("layers: %+v", manifest.Layers)
	}
	checkBinary(t, blob(t, files, manifest.Layers[0].Digest), "1.2.3")
	checkDockerManifest(t, files, manifest)
}

// checkBinary runs the only file of the layer.
func checkBinary(t *testing.T, layer []byte, version string) {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	content := untar(t, unzipped)
	if len(content) != 1 {
		t.Fatalf("%d files in the layer", len(content))
	}
	binary := filepath.Join(t.TempDir(), "nfs-csi")
	if err := os.WriteFile(binary, content["nfs-csi"], 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary).Output(); err != nil || string(out) != version {
		t.Errorf("the binary says %q, %v", out, err)
	}
}

func checkDockerManifest(t *testing.T, files map[string][]byte, manifest v1.Manifest) {
	t.Helper()
	type entry struct {
		Config           string
		RepoTags, Layers []string
	}
	entries := decode[[]entry](t, files["manifest.json"])
	if len(entries) != 1 || entries[0].Config != "blobs/sha256/"+manifest.Config.Digest.Hex || !slices.Equal(entries[0].RepoTags, []string{"ghcr.io/nfs-csi/nfs-csi:1.2.3"}) ||
		!slices.Equal(entries[0].Layers, []string{"blobs/sha256/" + manifest.Layers[0].Digest.Hex}) {
		t.Errorf("manifest.json: %+v", entries)
	}
}

func TestTwoBuildsAreTheSame(t *testing.T) {
	first, _ := write(t, "-root", repository(t), "-version", "7")
	second, _ := write(t, "-root", repository(t), "-version", "7") // in another directory, some time later
	if !bytes.Equal(first, second) {
		t.Error("they differ")
	}
	other, _ := write(t, "-root", repository(t), "-version", "8")
	if bytes.Equal(first, other) {
		t.Error("the version makes no difference")
	}
}

func TestSeveralPlatformsMakeAnIndex(t *testing.T) {
	_, files := write(t, "-root", repository(t), "-platforms", "linux/amd64,linux/arm64")
	top := decode[v1.IndexManifest](t, files["index.json"])
	if len(top.Manifests) != 1 {
		t.Fatalf("index.json: %s", files["index.json"])
	}
	var platforms []string
	for _, m := range decode[v1.IndexManifest](t, blob(t, files, top.Manifests[0].Digest)).Manifests {
		platforms = append(platforms, m.Platform.String())
		manifest := decode[v1.Manifest](t, blob(t, files, m.Digest))
		if config := decode[v1.ConfigFile](t, blob(t, files, manifest.Config.Digest)); config.Architecture != m.Platform.Architecture {
			t.Errorf("%s holds %s", m.Platform, config.Architecture)
		}
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %v", platforms)
	}
}

func TestABuildThatFailsLeavesNoArchive(t *testing.T) {
	root := repository(t)
	if err := os.WriteFile(filepath.Join(root, "cmd/nfs-csi/main.go"), []byte("package main\nfunc main() { undefined() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "image.tar")
	err := run(t.Context(), []string{"-root", root, "-output", output}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("error %v does not show the compiler's", err)
	}
	if _, err := os.Stat(output); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("archive: %v", err)
	}
}

func TestParseDockerfileRefusesWhatItWouldNotFollow(t *testing.T) {
	const start = "FROM golang AS build\nRUN go build -o /a ./cmd/a\nFROM scratch\n"
	const end = "COPY --from=build /a /a\nUSER 1:1\nENTRYPOINT [\"/a\"]\n"
	if r, err := parseDockerfile(start+end, nil); err != nil || r.Installed != "/a" || r.User != "1:1" {
		t.Fatalf("a good one: %+v, %v", r, err)
	}
	for want, text := range map[string]string{
		"RUN is not understood":          start + "RUN echo\n" + end,
		"ENV is not understood":          start + "ENV A=b\n" + end,
		"COPY must be one file":          start + "COPY --from=build /b /b\n" + end,
		"not FROM scratch":               start + end + "FROM alpine\n",
		"ENTRYPOINT must be a JSON list": start + strings.Replace(end, `["/a"]`, "/a", 1),
		"needs COPY, USER":               start + strings.Replace(end, "USER 1:1\n", "", 1),
		"no RUN has a":                   "FROM scratch\n" + end,
		"does not write /b":              start + strings.Replace(end, "=build /a", "=build /b", 1),
		"ARG X has no value":             start + "ARG X=1\n" + end,
		"LABEL must be pairs":            start + "LABEL a=b\n" + end,
	} {
		if _, err := parseDockerfile(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", want, err)
		}
	}
}

func TestCreationTime(t *testing.T) {
	for epoch, want := range map[string]string{"": "1970-01-01T00:00:00Z", "1700000000": "2023-11-14T22:13:20Z"} {
		if got, err := creationTime(epoch); err != nil || got.Format("2006-01-02T15:04:05Z07:00") != want {
			t.Errorf("creationTime(%q) = %v, %v", epoch, got, err)
		}
	}
	if _, err := creationTime("today"); err == nil {
		t.Error("no error for \"today\"")
	}
}
