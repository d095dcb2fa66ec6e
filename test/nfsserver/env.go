package nfsserver

import (
	"fmt"
	"os"
	"strings"
)

// External is an export of a server that the environment names, such as the kernel's in a guest.
type External struct {
	Host, Export string
	Version      string // "3", "4.0", "4.1", "4.2", or "" to negotiate
}

// Variable names an external server: host:/export[,vers=3|4.0|4.1|4.2], several separated by spaces; or the host alone, as
// test/guest does, with paths in other variables.
const Variable = "NFS_TEST_SERVER"

// Exports of a guest that the contract holds on, and the versions to try when in a hurry, each at least once: a file system
// shows little that depends on the version, an identity little that depends on the file system.
var guestExports = []struct {
	variable string
	versions []string
}{
	{"NFS_TEST_EXPORT", []string{"3", "4.2"}},
	{"NFS_TEST_EXPORT_SQUASH", []string{"4.2"}},
	{"NFS_TEST_EXPORT_ALL_SQUASH", []string{"3"}},
	{"NFS_TEST_EXPORT_XFS", []string{"4.2"}},
	{"NFS_TEST_EXPORT_EXT4", []string{"4.1"}},
	{"NFS_TEST_EXPORT_NESTED", []string{"4.0"}},
	{"NFS_TEST_EXPORT_SECURE", nil},
}

var allVersions = []string{"3", "4.0", "4.1", "4.2"}

// FromEnv returns the exports that the environment names, none when it names none; of a guest's, a choice when in a hurry.
func FromEnv(hurry bool) ([]External, error) {
	var servers []External
	for _, field := range strings.Fields(os.Getenv(Variable)) {
		if !strings.Contains(field, ":/") {
			servers = append(servers, fromGuest(field, hurry)...)
			continue
		}
		source, options, _ := strings.Cut(field, ",")
		host, export, _ := strings.Cut(source, ":/")
		version := strings.TrimPrefix(options, "vers=")
		if host == "" || options != "" && version == options {
			return nil, fmt.Errorf("%s: %q is not host:/export[,vers=3|4.0|4.1|4.2]", Variable, field)
		}
		servers = append(servers, External{Host: strings.Trim(host, "[]"), Export: "/" + export, Version: version})
	}
	return servers, nil
}

func fromGuest(host string, hurry bool) []External {
	var servers []External
	for _, e := range guestExports {
		versions := allVersions
		if hurry {
			versions = e.versions
		}
		for _, version := range versions {
			if export := os.Getenv(e.variable); export != "" {
				servers = append(servers, External{Host: host, Export: export, Version: version})
			}
		}
	}
	return servers
}
