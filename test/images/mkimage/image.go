package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// settings is how a container of the image starts: the "config" object of the OCI image configuration.
type settings struct {
	Entrypoint []string `json:",omitempty"`
	Cmd        []string `json:",omitempty"`
	User       string   `json:",omitempty"`
	Env        []string `json:",omitempty"`
	WorkingDir string   `json:",omitempty"`
}

type configuration struct {
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	Config       settings        `json:"config"`
	RootFS       rootFS          `json:"rootfs"`
	History      []historyRecord `json:"history"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type historyRecord struct {
	CreatedBy string `json:"created_by"`
}

type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeImage writes the image named ref with the files of tree to the file out.
func writeImage(out, ref string, tree fs.FS, settings settings) (err error) {
	layer, err := os.CreateTemp("", "mkimage-")
	if err != nil {
		return err
	}
	defer func() { _ = layer.Close(); _ = os.Remove(layer.Name()) }()
	sum := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, sum), tree); err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() {
		if e := file.Close(); err == nil {
			err = e
		}
	}()
	return writeArchive(file, ref, layer, fmt.Sprintf("%x", sum.Sum(nil)), settings)
}

// writeArchive wraps the layer, a file whose hex SHA-256 is digest, into a `docker save` archive.
func writeArchive(w io.Writer, ref string, layer *os.File, digest string, settings settings) error {
	config, err := json.Marshal(configuration{
		Architecture: "amd64", OS: "linux", Config: settings,
		RootFS:  rootFS{Type: "layers", DiffIDs: []string{"sha256:" + digest}},
		History: []historyRecord{{CreatedBy: "mkimage"}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	layerName := digest + "/layer.tar"
	index, err := json.Marshal([]manifest{{Config: configName, RepoTags: []string{ref}, Layers: []string{layerName}}})
	if err != nil {
		return err
	}
	size, err := layer.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, part := range []struct {
		name string
		size int64
		data io.Reader
	}{
		{configName, int64(len(config)), bytes.NewReader(config)},
		{layerName, size, layer},
		{"manifest.json", int64(len(index)), bytes.NewReader(index)},
	} {
		if err := archive.WriteHeader(&tar.Header{Name: part.name, Size: part.size, Mode: 0o644}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, part.data); err != nil {
			return fmt.Errorf("writing %q: %w", part.name, err)
		}
	}
	return archive.Close()
}

// writeLayer writes every file of tree as a tar: owners, modes and links are kept, times are not.
func writeLayer(w io.Writer, tree fs.FS) error {
	layer := tar.NewWriter(w)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if err := writeEntry(layer, tree, name, entry); err != nil {
			return fmt.Errorf("packing %q: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return layer.Close()
}

func writeEntry(layer *tar.Writer, tree fs.FS, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
		return nil // the container runtime makes the devices
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = fs.ReadLink(tree, name); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.ModTime, header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}, time.Time{}
	header.Uname, header.Gname = "", ""
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		header.Uid, header.Gid = int(stat.Uid), int(stat.Gid)
	}
	if err := layer.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := tree.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(layer, file)
	return err
}
