package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// A directory that was made above a volume's, or an archive's, is to go with the last of those below it. Nothing on the share would tell it
// from one that somebody else made: therefore it has a mark, the link parents/KEY. A mark is made after its directory, and only by who has
// made that; it goes after the directory. So a crash, or a rival, at worst leaves a directory without its mark, which then stays for ever, or a
// mark without a directory, which goes when the share is opened next. What is marked is only ever removed when it is empty.

// tidiers bounds how many marks are looked at at once.
const tidiers = 16

func markPath(dir volume.Dir) string   { return ParentsDir + "/" + volume.Key(string(dir)) }
func markTarget(dir volume.Dir) string { return markPrefix + string(dir) }

// MakeParents makes what is missing above the directory of a volume or an archive, and answers what it made, after an error too.
// [Share.MarkParents] comes next, when there is something in it. [volume.ErrBusy]: somebody keeps removing it.
func (s *Share) MakeParents(ctx context.Context, dir volume.Dir) (made []volume.Dir, err error) {
	for range Attempts {
		var again []volume.Dir
		again, err = s.makeEach(ctx, dir.Parents())
		made = append(made, again...)
		if !errors.Is(err, fs.ErrNotExist) { // else an outer one has just been removed, empty
			return made, err
		}
	}
	return made, fmt.Errorf("%w: somebody else keeps removing the directory above %q", volume.ErrBusy, dir)
}

// makeEach makes those of some directories that are not there, and answers which.
func (s *Share) makeEach(ctx context.Context, dirs []volume.Dir) (made []volume.Dir, err error) {
	for _, dir := range dirs {
		fresh, err := s.makeParent(ctx, dir)
		if err != nil {
			return made, err
		}
		if fresh {
			made = append(made, dir)
		}
	}
	return made, nil
}

func (s *Share) makeParent(ctx context.Context, dir volume.Dir) (made bool, err error) {
	err = s.FS.Mkdir(ctx, string(dir), ParentMode, -1, -1)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrExist):
		return false, nil
	}
	return false, fmt.Errorf("creating directory %q: %w", dir, err)
}

// MarkParents marks directories that [Share.MakeParents] made. What cannot be marked stays when what is below has gone.
func (s *Share) MarkParents(ctx context.Context, made []volume.Dir) {
	var calls []func() error
	for _, dir := range made {
		calls = append(calls, func() error {
			err := s.FS.Symlink(ctx, markTarget(dir), markPath(dir))
			if errors.Is(err, fs.ErrNotExist) {
				s.Forget()
			}
			if err != nil && !errors.Is(err, fs.ErrExist) {
				s.Log.Debug("a directory will stay when it is empty", "location", s.Location.String(), "directory", string(dir), "err", err)
			}
			return nil
		})
	}
	_ = Together(calls...) // none of them fails
}

// UnmarkParent makes dir one that nobody removes: somebody has come to own it.
func (s *Share) UnmarkParent(ctx context.Context, dir volume.Dir) error {
	if err := s.Remove(ctx, markPath(dir)); !vanishing(err) {
		return err
	}
	return nil
}

// vanishing says whether err is ganesha's answer for a name that another call is just removing, as happens where the last volumes below a
// directory go at once. A withdrawn export answers the same, also to the calls for the volume itself.
func vanishing(err error) bool { return errors.Is(err, syscall.ESTALE) }

// MarkedAbove answers which of the directories above dir are marked, outermost first. What a crash has left may be the mark alone. A
// file in the place of a directory is none of ours.
func (s *Share) MarkedAbove(ctx context.Context, dir volume.Dir) (marked []volume.Dir, err error) {
	parents := dir.Parents()
	is, other := make([]bool, len(parents)), make([]bool, len(parents))
	var calls []func() error
	for i, p := range parents {
		calls = append(calls,
			func() (err error) { is[i], err = s.isMark(ctx, p); return err },
			func() error {
				info, err := s.Lstat(ctx, string(p))
				if vanishing(err) {
					return nil
				}
				other[i] = info != nil && !info.IsDir()
				if failure.Definite(err, s.Classify) { // a link, or a file, above
					other[i], err = true, nil
				}
				return err
			})
	}
	if err := Together(calls...); err != nil {
		return nil, err
	}
	for i, p := range parents {
		if is[i] && !other[i] {
			marked = append(marked, p)
		}
	}
	return marked, nil
}

// isMark says whether a directory is marked. What is no mark of ours is none.
func (s *Share) isMark(ctx context.Context, dir volume.Dir) (bool, error) {
	target, err := s.FS.Readlink(ctx, markPath(dir))
	if vanishing(err) || failure.Definite(err, s.Classify) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the mark of directory %q: %w", dir, err)
	}
	return target == markTarget(dir), nil
}

// RemoveParents removes those of these directories that are empty, the innermost first, and their marks. Each was made above others, or
// for the volume with the given key.
func (s *Share) RemoveParents(ctx context.Context, key string, made []volume.Dir) error {
	var kept volume.Dir
	for _, dir := range slices.Backward(made) {
		if strings.HasPrefix(string(kept), string(dir)+"/") {
			continue
		}
		gone, err := s.removeEmpty(ctx, key, dir)
		if err != nil {
			return err
		}
		if !gone {
			kept = dir
		}
	}
	return nil
}

// removeEmpty removes one of them, if there is nothing in it. Another volume may just have got it: that one reserves it and then looks
// whether it is still there, we remove it and then look whether it is reserved. So one of the two sees the other, and what was there, which
// was empty, is made again.
func (s *Share) removeEmpty(ctx context.Context, key string, dir volume.Dir) (gone bool, err error) {
	err = s.FS.Remove(ctx, string(dir))
	switch {
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !vanishing(err):
		return false, fmt.Errorf("removing the empty directory %q: %w", dir, err)
	}
	removed := err == nil
	var owner string
	err = Together(
		func() error { return s.UnmarkParent(ctx, dir) },
		func() (err error) { owner, err = s.ReservedFor(ctx, dir); return err },
	)
	if err == nil && removed && owner != "" && owner != key {
		_, err = s.makeParent(ctx, dir)
	}
	return true, err
}

// tidyMarks takes away the marks of directories that are not there.
func (s *Share) tidyMarks(ctx context.Context) error {
	infos, err := s.FS.ReadDir(ctx, ParentsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing the marked directories: %w", err)
	}
	for some := range slices.Chunk(infos, tidiers) {
		var calls []func() error
		for _, info := range some {
			calls = append(calls, func() error { return s.tidyMark(ctx, ParentsDir+"/"+info.Name()) })
		}
		if err := Together(calls...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Share) tidyMark(ctx context.Context, name string) error {
	target, _ := s.FS.Readlink(ctx, name) // "" where it is gone, no link, or cannot be read now: the next tidying looks again
	dir, ours := markedIn(target)
	if !ours || markPath(dir) != name {
		return nil
	}
	there, err := s.Lstat(ctx, string(dir))
	if err != nil || there != nil {
		return err
	}
	return s.Remove(ctx, name)
}

// markedIn reads the directory from what a mark holds.
func markedIn(target string) (dir volume.Dir, ours bool) {
	text, is := strings.CutPrefix(target, markPrefix)
	dir, err := volume.ParseDir(text)
	return dir, is && err == nil && markTarget(dir) == target
}

// ChangeDir sets owner and mode of a directory where they are given (not -1, not nil). The owner comes first: a server
// takes setuid and setgid away from what changes hands.
func (s *Share) ChangeDir(ctx context.Context, dir string, mode *fs.FileMode, uid, gid int) error {
	if uid >= 0 || gid >= 0 {
		if err := s.FS.Chown(ctx, dir, uid, gid); err != nil {
			return fmt.Errorf("changing the owner of directory %q: %w", dir, err)
		}
	}
	if mode != nil {
		if err := s.FS.Chmod(ctx, dir, *mode); err != nil {
			return fmt.Errorf("changing the mode of directory %q: %w", dir, err)
		}
	}
	return nil
}
