package nfs4

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// xattrServer answers the operations of RFC 8276.
type xattrServer struct {
	of     map[string]map[string]string // handle -> name -> value
	page   int                          // names in one answer
	closed string                       // may not be read
	fail   func(op uint32, name string) status.Code
	lists  int // LISTXATTRS that came
}

func (s *xattrServer) answers() map[uint32]func(w *work) status.Code {
	return map[uint32]func(w *work) status.Code{opListXattrs: s.list, opGetXattr: s.get, opSetXattr: s.set}
}

func (s *xattrServer) list(w *work) status.Code {
	s.lists++
	from, size := int(w.d.Uint64()), w.d.Uint32()
	if code := s.fail(opListXattrs, w.fh); code != status.OK {
		return w.r.op(opListXattrs, code)
	}
	if w.fh == s.closed {
		return w.r.op(opListXattrs, status.Access)
	}
	names := slices.Sorted(maps.Keys(s.of[w.fh]))
	end := min(from+s.page, len(names))
	w.r.op(opListXattrs, status.OK)
	w.r.Uint64(uint64(end))
	w.r.Uint32(uint32(end - from))
	for _, name := range names[from:end] {
		if size -= min(size, uint32(len(name))+4); size == 0 {
			w.t.Errorf("%d names do not fit", end-from)
		}
		w.r.String(name)
	}
	w.r.Bool(end == len(names))
	return status.OK
}

func (s *xattrServer) get(w *work) status.Code {
	name := w.d.String(maxXattr)
	value, there := s.of[w.fh][name]
	if code := s.fail(opGetXattr, name); code != status.OK || !there {
		return w.r.op(opGetXattr, max(code, map[bool]status.Code{false: status.NoXattr}[there]))
	}
	w.r.op(opGetXattr, status.OK)
	w.r.String(value)
	return status.OK
}

func (s *xattrServer) set(w *work) status.Code {
	how, name, value := w.d.Uint32(), w.d.String(maxXattr), w.d.String(maxXattrValue)
	if code := s.fail(opSetXattr, name); code != status.OK || how != setEither {
		return w.r.op(opSetXattr, code)
	}
	if s.of[w.fh] == nil {
		s.of[w.fh] = map[string]string{}
	}
	s.of[w.fh][name] = value
	w.r.op(opSetXattr, status.OK)
	w.r.Fixed(make([]byte, 20))
	return status.OK
}

// failing answers code to one operation on one name.
func failing(op uint32, name string, code status.Code) func(uint32, string) status.Code {
	return func(o uint32, n string) status.Code {
		if o == op && n == name {
			return code
		}
		return status.OK
	}
}

func TestCopyXattrs(t *testing.T) {
	const files = listFiles + 4
	always := func(uint32, string) status.Code { return status.OK }
	delayed := map[uint32]bool{}
	for _, tt := range []struct {
		name   string
		minor  uint32
		change func(s *xattrServer, f *fake)
		done   int
		want   error
	}{
		{"all", 2, func(*xattrServer, *fake) {}, files, nil},
		{"a name at a time", 2, func(s *xattrServer, _ *fake) { s.page = 1 }, files, nil},
		{"a closed file", 2, func(s *xattrServer, _ *fake) { s.closed = "from3"; s.of["from3"] = nil }, files, nil},
		{"removed meanwhile", 2, func(s *xattrServer, _ *fake) {
			s.fail = failing(opGetXattr, "gone", status.NoXattr)
			s.of["from1"] = map[string]string{"gone": ""}
		}, files, nil},
		{"after a while", 2, func(s *xattrServer, _ *fake) {
			s.fail = func(op uint32, name string) status.Code {
				if name != "from2" && op == opListXattrs || delayed[op] {
					return status.OK
				}
				delayed[op] = true
				return status.Delay
			}
		}, files, nil},
		{"before 4.2", 1, func(*xattrServer, *fake) {}, 0, file.ErrNoXattrs},
		{"not at all", 2, func(s *xattrServer, _ *fake) {
			s.fail = func(uint32, string) status.Code { return status.NotSupp }
		}, 0, file.ErrNoXattrs},
		{"not known", 2, func(s *xattrServer, _ *fake) {
			s.fail = func(uint32, string) status.Code { return status.OpIllegal }
		}, 0, file.ErrNoXattrs},
		{"cannot be written", 2, func(s *xattrServer, _ *fake) {
			s.fail = failing(opSetXattr, "only2", status.NotSupp)
		}, 2, &status.Error{Version: 4, Op: "SETXATTR", Code: status.NotSupp}},
		{"the file is gone", 2, func(s *xattrServer, _ *fake) {
			s.fail = failing(opListXattrs, "from5", status.Stale)
		}, 5, &status.Error{Version: 4, Op: "LISTXATTRS", Code: status.Stale}},
		{"too big for a request", 2, func(s *xattrServer, f *fake) {
			f.message = minMessage
			s.of["from0"]["only0"] = strings.Repeat("x", minMessage-1000)
		}, 0, &status.Error{Version: 4, Op: "SETXATTR", Code: status.XattrTooBig}},
		{"without an end", 2, func(s *xattrServer, _ *fake) { s.page = 0 }, 0, xdr.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &xattrServer{of: map[string]map[string]string{}, page: 10, fail: always}
			f := startFake(t)
			f.minor, f.answers = tt.minor, s.answers()
			f.maxOps = 2*listFiles + fewestOps
			var pairs []file.Pair
			for i := range files {
				p := file.Pair{From: file.Handle(fmt.Sprint("from", i)), To: file.Handle(fmt.Sprint("to", i))}
				pairs = append(pairs, p)
				s.of[string(p.From)] = map[string]string{fmt.Sprint("only", i): strings.Repeat("value", i), "both": ""}
			}
			tt.change(s, f)
			done, err := f.connect(time.Minute).CopyXattrs(t.Context(), nobody, pairs)
			if done != tt.done || !errors.Is(err, tt.want) && fmt.Sprint(err) != fmt.Sprint(tt.want) {
				t.Fatalf("%d done, %v; want %d, %v", done, err, tt.done, tt.want)
			}
			for _, p := range pairs[:done] {
				want := maps.Clone(s.of[string(p.From)])
				delete(want, "gone")
				if got := s.of[string(p.To)]; !maps.Equal(got, want) {
					t.Errorf("%s: %v, want %v", p.To, got, want)
				}
			}
			if tt.name == "all" && s.lists != files {
				t.Errorf("%d lists for %d files", s.lists, files)
			}
		})
	}
}
