package volume

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseSnapshotIDForms(t *testing.T) {
	for text, want := range map[string]SnapshotID{
		"srv#exports/k8s#snapshot-1#snapshot-1#pvc-1": {Location{"srv", "/exports/k8s"}, "snapshot-1", "pvc-1"},
		"srv##s#s#pvc-1":          {Location{"srv", "/"}, "s", "pvc-1"},
		"fd00::1#e#s#s#ns/claim":  {Location{"fd00::1", "/e"}, "s", "ns/claim"},
		"srv#/e/#s.json#s.json#v": {Location{"srv", "/e"}, "s.json", "v"},
	} {
		got, err := ParseSnapshotID(text)
		if err != nil || got != want {
			t.Errorf("ParseSnapshotID(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseSnapshotID(got.String()); err != nil || again != got {
			t.Errorf("ParseSnapshotID(%q) = %+v, %v; want %+v", got.String(), again, err, got)
		}
	}
}

// What must never lead to a deletion: handles of another form, and every way out of the share.
func TestParseSnapshotIDRefuses(t *testing.T) {
	for _, text := range []string{
		"", "text", "srv#e#s#s", "srv#e#s#s#v#more", "srv#e###v", "srv#e#s#s#", "srv#e#s#other#v", "srv#e#a/b#a/b#v", "srv#e#/s#/s#v", "srv#e#s/#s/#v",
		"srv#e#..#..#v", "srv#e#.#.#v", "srv#e#s#s#..", "srv#e#s#s#../v", "srv#e#s#s#/v", "srv#..#s#s#v", `srv#e#..\x#..\x#v`, "srv#e#a\x00#a\x00#v",
		"#e#s#s#v", "srv:1#e#s#s#v", "srv#e#.nfs-csi#.nfs-csi#v", strings.Repeat("x#", 5000),
	} {
		if id, err := ParseSnapshotID(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseSnapshotID(%.60q) = %+v, %v; want ErrInvalid", text, id, err)
		}
	}
}

func TestSnapshotRecordRoundTrip(t *testing.T) {
	source := ID{Location: Location{"srv", "/e"}, Dir: "ns/c", UUID: "pvc-1", Policy: Retain}
	request := SnapshotRequest{Name: "odd name#1", Source: source}
	r := SnapshotRecord{Version: RecordVersion, Name: CleanName(request.Name), Source: source.String(), SizeBytes: 5, Created: time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)}
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSnapshotRecord(b)
	if err != nil || got != r {
		t.Fatalf("record becomes %+v, %v; want %+v", got, err, r)
	}
	id := got.ID(source.Location)
	if again, err := ParseSnapshotID(id.String()); err != nil || again != id || id != request.ID() || id.Source != "pvc-1" {
		t.Errorf("its ID %q parses as %+v, %v; the request's is %+v", id, again, err, request.ID())
	}
	for cut := range b[:len(b)-2] {
		if _, err := ParseSnapshotRecord(b[:cut]); !errors.Is(err, ErrInvalid) {
			t.Fatalf("the first %d bytes give %v; want ErrInvalid", cut, err)
		}
	}
}

// TestSnapshotOfOddVolume: whatever a handle calls a volume, that of its snapshot can be read.
func TestSnapshotOfOddVolume(t *testing.T) {
	for _, handle := range []string{"srv#e#sub##", "srv#e#a/b##", "srv#e#sub#/odd/#", "srv#e#sub#two words\t#", "srv#e#sub#.nfs-csi#", "srv/e/sub"} {
		source, err := ParseID(handle)
		if err != nil {
			t.Fatal(err)
		}
		id := SnapshotRequest{Name: "s", Source: source}.ID()
		if again, err := ParseSnapshotID(id.String()); err != nil || again != id {
			t.Errorf("snapshot %q of %q parses as %+v, %v", id, handle, again, err)
		}
	}
}

func TestParseSnapshotRecordRefuses(t *testing.T) {
	for _, s := range []string{
		`{}`, `[]`, `null`,
		`{"version":2,"name":"s","source":"srv#e#v##","sizeBytes":1}`,
		`{"version":1,"name":"","source":"srv#e#v##","sizeBytes":1}`,
		`{"version":1,"name":"a/b","source":"srv#e#v##","sizeBytes":1}`,
		`{"version":1,"name":"..","source":"srv#e#v##","sizeBytes":1}`,
		`{"version":1,"name":"s","source":"srv#e#v##","sizeBytes":-1}`,
		`{"version":1,"name":"s","source":"","sizeBytes":1}`,
		`{"version":1,"name":"s","source":"srv#e#../v##","sizeBytes":1}`,
		`{"version":1,"name":"s","source":"srv#e#v","sizeBytes":1}`,
	} {
		if r, err := ParseSnapshotRecord([]byte(s)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s is read as %+v, %v; want ErrInvalid", s, r, err)
		}
	}
}

func FuzzParseSnapshotID(f *testing.F) {
	for _, s := range []string{"srv#exports/k8s#s#s#pvc-1", "fd00::1##s#s#a/b", "srv#e#..#..#v", "srv#e#s#s#v#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseSnapshotID(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			return
		}
		if again, err := ParseSnapshotID(id.String()); err != nil || again != id {
			t.Fatalf("ParseSnapshotID(%q) = %+v, %v; want %+v", id.String(), again, err, id)
		}
		if strings.Contains(id.Name, "/") || id.Name == "" || id.Name == "." || id.Name == ".." || id.Name == Reserved {
			t.Fatalf("name %q of %q is no element of its own", id.Name, s)
		}
	})
}

func FuzzParseSnapshotRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"s","source":"srv#e#v##","sizeBytes":1,"created":"2026-11-20T01:02:03Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseSnapshotRecord(b)
		if err != nil {
			return
		}
		id := r.ID(Location{"srv", "/e"})
		if again, err := ParseSnapshotID(id.String()); err != nil || again != id {
			t.Fatalf("record %s has the ID %q, which parses as %+v, %v", b, id, again, err)
		}
		again, err := r.Marshal()
		if err != nil {
			return // a year past 9999 cannot be printed again
		}
		if back, err := ParseSnapshotRecord(again); err != nil || back.Name != r.Name || back.Source != r.Source || back.SizeBytes != r.SizeBytes {
			t.Fatalf("record %s becomes %+v, %v", b, back, err)
		}
	})
}
