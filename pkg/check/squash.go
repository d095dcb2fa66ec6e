package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// squash finds out whom the server makes of root and of others, by the owners of what they make.
func (s *scratch) squash(ctx context.Context, m made) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	attr := m.dir.Sys().(*nfs.Attr)
	root, who := attr.UID, s.fs.ActingAs().UID
	l := Line{Check: "squash", Data: map[string]any{"actingAs": who, "owner": root}}
	if attr.OwnerNamed {
		l.Status, l.Text = Warn, fmt.Sprintf("the server names owners (%s) instead of numbering them: who owns what cannot be told", attr.OwnerName)
		l.Fix = "let it send numbers: on Linux, echo Y > /sys/module/nfsd/parameters/nfs4_disable_idmapping"
		s.found(l)
		return
	}
	other, err := s.asStranger(ctx)
	l.Data["strangerOwner"] = other
	all := err == nil && other != stranger
	closed := errors.Is(err, fs.ErrPermission) // to all but its owner, whom the server would let in as well if it made one user of all
	switch {
	case err != nil && !closed:
		l.Status, l.Text, l.Fix = Warn, fmt.Sprintf("whom the server makes of others cannot be told: %v", err), fixOf(err)
	case all:
		l.Status, l.Text = Warn, fmt.Sprintf("all_squash: whatever anybody makes belongs to user %d", other)
		l.Fix = "volumes work, and their owners mean nothing: leave uid and gid out of StorageClasses and fsGroup out of pods, or export with no_all_squash"
	case who == 0 && root == 0:
		l.Status, l.Text = OK, "no_root_squash: owners are kept as they are"
	case closed && !s.rootEnters(ctx):
		l.Status, l.Text = Warn, fmt.Sprintf("root_squash: the driver works as user %d, and nodes, which mount as root, may not enter the directory: mounts of volumes are refused, with NFSv4 at least", root)
		l.Fix = "let everybody enter it, on the server: chmod o+x; or export with no_root_squash"
	default:
		l.Status, l.Text = Warn, fmt.Sprintf("root_squash: the driver works as user %d, whom the volumes will belong to", root)
		l.Fix = "volumes work; for StorageClasses with uid or gid and pods with fsGroup export with no_root_squash to the controller and the nodes"
	}
	l.Data["kind"] = map[bool]string{true: "all_squash", false: "root_squash"}[all]
	if l.Status == OK {
		l.Data["kind"] = "no_root_squash"
	}
	s.found(l)
	if l.Status == OK {
		s.chown(ctx)
	}
}

// openAs opens the export as one user and nobody else.
func (s *scratch) openAs(ctx context.Context, who nfs.Credential) (*nfs.FS, error) {
	config := s.NFS
	config.ActAsOwner, config.Credential, config.Versions = false, who, []nfs.Version{s.fs.Version()}
	return nfs.Open(ctx, config)
}

// rootEnters says whether whom the server makes of root may enter the directory.
func (s *scratch) rootEnters(ctx context.Context) bool {
	f, err := s.openAs(ctx, nfs.Credential{})
	if err == nil {
		defer f.Close()
		_, err = f.Lstat(ctx, s.dir)
	}
	return !errors.Is(err, fs.ErrPermission)
}

// asStranger makes a directory as a user that owns nothing, and answers whom it belongs to.
func (s *scratch) asStranger(ctx context.Context) (owner uint32, err error) {
	f, err := s.openAs(ctx, nfs.Credential{UID: stranger, GID: stranger})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	name := s.dir + "/stranger"
	s.made = append(s.made, name)
	if err := f.Mkdir(ctx, name, 0o700, -1, -1); err != nil {
		return 0, err
	}
	info, err := s.fs.Lstat(ctx, name)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*nfs.Attr).UID, nil
}

// chown gives the directory away, as a class with uid and gid asks.
func (s *scratch) chown(ctx context.Context) {
	err := s.fs.Chown(ctx, s.dir+"/file", stranger, stranger)
	l := Line{Check: "chown", Status: OK, Text: "owners can be set: StorageClasses with uid and gid, and pods with fsGroup, work"}
	if err != nil {
		l.Status, l.Text, l.Fix = Warn, "owners cannot be set: "+err.Error(), "leave uid and gid out of StorageClasses, and fsGroup out of pods"
		if errors.Is(err, fs.ErrPermission) {
			l.Text = "owners cannot be set, though root is not squashed"
		}
	}
	s.found(l)
}
