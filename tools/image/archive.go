package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes an OCI image layout (image-spec, image-layout.md) as a tar. With several images, one for each platform, the
// reference names an index of them; a single one is named directly and also described as `docker save` does, for older engines.
func writeArchive(path, name, tag string, images []v1.Image) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return err
	}
	a := &archive{tar: tar.NewWriter(file), done: map[v1.Hash]bool{}}
	a.layout(name+":"+tag, tag, images)
	a.keep(a.tar.Close())
	a.keep(file.Chmod(0o644))
	a.keep(file.Close())
	if a.err != nil {
		return errors.Join(a.err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), path)
}

// An archive writes until the first error, which it keeps.
type archive struct {
	tar  *tar.Writer
	done map[v1.Hash]bool // blobs that are in it: platforms may share some
	err  error
}

func (a *archive) layout(reference, tag string, images []v1.Image) {
	a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	top := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	// The first is what containerd names the image by, the second what the specification asks for.
	names := map[string]string{"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag}
	if len(images) == 1 {
		top = mutate.AppendManifests(top, mutate.IndexAddendum{Add: images[0], Descriptor: v1.Descriptor{Annotations: names}})
		a.dockerManifest(reference, images[0])
	} else {
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, img := range images {
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: a.platform(img)}})
		}
		a.raw(index)
		top = mutate.AppendManifests(top, mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{Annotations: names}})
	}
	raw, err := top.RawManifest()
	a.keep(err)
	a.file("index.json", raw)
	for _, img := range images {
		a.image(img)
	}
}

func (a *archive) platform(img v1.Image) *v1.Platform {
	config, err := img.ConfigFile()
	a.keep(err)
	if err != nil {
		return nil
	}
	return config.Platform()
}

// dockerManifest is what `docker load` before version 25 reads.
func (a *archive) dockerManifest(reference string, img v1.Image) {
	m, err := img.Manifest()
	a.keep(err)
	if err != nil {
		return
	}
	entry := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{Config: blobPath(m.Config.Digest), RepoTags: []string{reference}}
	for _, layer := range m.Layers {
		entry.Layers = append(entry.Layers, blobPath(layer.Digest))
	}
	raw, err := json.Marshal([]any{entry})
	a.keep(err)
	a.file("manifest.json", raw)
}

func (a *archive) image(img v1.Image) {
	a.raw(img)
	config, err := img.RawConfigFile()
	a.keep(err)
	name, err := img.ConfigName()
	a.keep(err)
	a.blob(name, config)
	layers, err := img.Layers()
	a.keep(err)
	for _, layer := range layers {
		a.layer(layer)
	}
}

func (a *archive) layer(layer v1.Layer) {
	digest, err := layer.Digest()
	a.keep(err)
	content, err := layer.Compressed()
	a.keep(err)
	if err != nil {
		return
	}
	raw, err := io.ReadAll(content)
	a.keep(err)
	a.keep(content.Close())
	a.blob(digest, raw)
}

// raw adds the manifest of an image or of an index.
func (a *archive) raw(m interface {
	partial.WithRawManifest
	Digest() (v1.Hash, error)
}) {
	content, err := m.RawManifest()
	a.keep(err)
	digest, err := m.Digest()
	a.keep(err)
	a.blob(digest, content)
}

func (a *archive) blob(digest v1.Hash, content []byte) {
	if !a.done[digest] {
		a.done[digest] = true
		a.file(blobPath(digest), content)
	}
}

// file adds a file without an owner, a time or anything else that differs between two builds.
func (a *archive) file(name string, content []byte) {
	if a.err != nil {
		return
	}
	a.keep(a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}))
	if a.err == nil {
		_, err := a.tar.Write(content)
		a.keep(err)
	}
}

func (a *archive) keep(err error) {
	if a.err == nil {
		a.err = err
	}
}

func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }
