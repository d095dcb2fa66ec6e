package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// oldNames are flags of csi-driver-nfs, and of the sidecars that stand beside it, which have another name here.
var oldNames = map[string]string{
	"drivername":              "driver-name",
	"nodeid":                  "node-id",
	"default-ondelete-policy": "default-on-delete",
	"worker-threads":          "workers",
	"http-endpoint":           "metrics-address",
}

// oldFlags are those that mean nothing here. What they say about values that would mean something is how to get it.
var oldFlags = map[string]struct {
	boolean bool     // may be given without a value
	fine    []string // values that change nothing; nil: all
	instead string
}{
	"mount-permissions":                 {fine: []string{"0"}, instead: "on nodes no directory is made: set it on the controller, or the attribute mountPermissions of a PersistentVolume"},
	"working-mount-dir":                 {},
	"vol-stats-cache-expire-in-minutes": {},
	"use-tar-command-in-snapshot":       {boolean: true},
	"enable-snapshot-compression":       {boolean: true},
	"remove-archived-volume-path":       {boolean: true, fine: []string{"false"}, instead: "an archive never takes another's place here: to remove archives in time give the class archiveRetention"},
	"extra-create-metadata":             {boolean: true, fine: []string{"true"}, instead: "classes always know the claim that they are applied to"},
	"csi-address":                       {},
	"timeout":                           {},
	"retry-interval-start":              {},
	"retry-interval-max":                {},
	"feature-gates":                     {},
	"handle-volume-inuse-error":         {boolean: true},
	"probe-timeout":                     {},
	"kubelet-registration-path":         {},
	"logtostderr":                       {boolean: true, fine: []string{"true"}, instead: "the log goes to standard error"},
	"alsologtostderr":                   {boolean: true},
	"stderrthreshold":                   {},
	"log_dir":                           {fine: []string{""}, instead: "the log goes to standard error"},
	"log_file":                          {fine: []string{""}, instead: "the log goes to standard error"},
	"vmodule":                           {fine: []string{""}, instead: "use --v for all"},
}

// addOld makes f understand the flags of csi-driver-nfs, so that its manifests need not be written anew. They are not shown.
func addOld(f *pflag.FlagSet) {
	for name, old := range oldFlags {
		if f.Lookup(name) != nil {
			continue
		}
		flag := f.VarPF(oldFlag(name), name, "", "")
		if flag.Hidden = true; old.boolean {
			flag.NoOptDefVal = "true"
		}
	}
	f.SetNormalizeFunc(func(f *pflag.FlagSet, name string) pflag.NormalizedName {
		if now, ok := oldNames[name]; ok {
			return pflag.NormalizedName(now)
		}
		return pflag.NormalizedName(name)
	})
}

// oldFlag is the name of one of oldFlags.
type oldFlag string

func (oldFlag) String() string { return "" }
func (oldFlag) Type() string   { return "string" }

// Set says what is to be done about a value that would mean something.
func (o oldFlag) Set(value string) error {
	old := oldFlags[string(o)]
	if old.fine == nil || slices.Contains(old.fine, value) {
		return nil
	}
	return fmt.Errorf("a flag of csi-driver-nfs that means nothing here: %s", old.instead)
}

// doubleDashes lets flags of csi-driver-nfs have one dash, as Go's own flags may.
func doubleDashes(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "-"), "=")
		_, renamed := oldNames[name]
		_, old := oldFlags[name]
		if strings.HasPrefix(a, "-"+name) && len(name) > 1 && (renamed || old || slices.Contains(keptFlags, name)) {
			args[i] = "-" + a
		}
	}
	return args
}

// keptFlags are those of csi-driver-nfs that are called the same here.
var keptFlags = []string{"endpoint", "mount-permissions", "leader-election", "leader-election-namespace", "kubeconfig"}
