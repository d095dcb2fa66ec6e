package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/apiserver"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestScripts runs testdata/script/*.txtar. Besides testscript's own commands they have
//
//	server                              starts an NFS server of version 3 for the script: $EXPORT is its 127.0.0.1:/export,
//	                                    $OPTIONS the mount options with its ports, $DIR its directory on this machine
//	volume NAME DIR POLICY CLAIM AGE    makes a volume there, as the driver does; - is no claim, AGE such as 2h
//	cluster FILE...                     starts an API server with the objects of these files, and makes $KUBECONFIG lead there
//	lists FILE                          starts one that only lists: FILE has the objects as JSON, an array for each resource that
//	                                    may be listed, and may change
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir) // nobody's kubeconfig
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server": func(ts *testscript.TestScript, _ bool, _ []string) {
				g := nfsserver.StartGoNFS(t)
				ts.Setenv("EXPORT", g.Host+":"+g.Export)
				ts.Setenv("OPTIONS", g.Options())
				ts.Setenv("DIR", g.Dir)
			},
			"cluster": func(ts *testscript.TestScript, _ bool, files []string) {
				s := apiserver.Start(t)
				for _, f := range files {
					ts.Check(s.AddYAML(ts.ReadFile(f)))
				}
				s.WriteKubeconfig(ts.MkAbs("kubeconfig"))
				ts.Setenv("KUBECONFIG", ts.MkAbs("kubeconfig"))
			},
			"volume": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(makeVolume(ts.Getenv("DIR"), args)) },
			"lists":  func(ts *testscript.TestScript, _ bool, args []string) { startLists(ts, ts.MkAbs(args[0])) },
		},
	})
}

// makeVolume writes a volume's directory, record and reservation.
func makeVolume(dir string, args []string) error {
	age, err := time.ParseDuration(args[4])
	if err != nil {
		return err
	}
	made := time.Now().Add(-age)
	r := volume.Record{
		Version: volume.RecordVersion, Name: args[0], Dir: volume.Dir(args[1]), CapacityBytes: 1 << 30, Policy: volume.Policy(args[2]), Created: made.UTC(),
	}
	if args[3] != "-" {
		r.Claim = args[3]
	}
	data, err := r.Marshal()
	if err != nil {
		return err
	}
	for _, own := range []string{"volumes", "directories", "trash", "staging", "snapshots", "archives"} {
		if err := os.MkdirAll(filepath.Join(dir, volume.Reserved, own), 0o700); err != nil {
			return err
		}
	}
	record := filepath.Join(dir, volume.Reserved, "volumes", volume.Key(r.Name)+".json")
	if err := os.WriteFile(record, data, 0o600); err != nil {
		return err
	}
	if err := os.Symlink("../volumes/"+volume.Key(r.Name)+".json", filepath.Join(dir, volume.Reserved, "directories", volume.Key(args[1]))); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, args[1]), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, args[1], "data"), []byte("precious\n"), 0o600); err != nil {
		return err
	}
	return os.Chtimes(record, made, made)
}

// startLists serves lists of the objects in a file.
func startLists(ts *testscript.TestScript, file string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		var objects map[string]json.RawMessage
		if err := json.Unmarshal(data, &objects); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resource := path.Base(r.URL.Path)
		kind := map[string]string{"persistentvolumes": "PersistentVolumeList", "persistentvolumeclaims": "PersistentVolumeClaimList", "pods": "PodList"}[resource]
		items, ok := objects[resource]
		w.Header().Set("Content-Type", "application/json")
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"%s is forbidden"}`, resource)
			return
		}
		fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":%s}`, kind, items)
	}))
	ts.Defer(server.Close)
	kubeconfig := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"here",
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}],
"contexts":[{"name":"here","context":{"cluster":"c","user":"u"}},{"name":"there","context":{"cluster":"c","user":"u"}}]}`, server.URL)
	name := filepath.Join(ts.Getenv("WORK"), "kubeconfig")
	ts.Check(os.WriteFile(name, []byte(kubeconfig), 0o600))
	ts.Setenv("KUBECONFIG", name)
}
