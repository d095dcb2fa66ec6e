package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nfs-csi/nfs-csi/test/apiserver"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestScripts runs testdata/script/*.txtar. Besides testscript's own commands they have
//
//	server         starts an NFS server of version 3 for the script: $EXPORT is its 127.0.0.1:/export, $OPTIONS the mount
//	               options with its ports, $DIR its directory on this machine
//	cluster FILE...  starts an API server with the objects of these files, and makes $KUBECONFIG lead there
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
		},
	})
}
