package nfsserver

import (
	"fmt"
	"os"
	"strings"
)

// External is a server that the environment names, such as the kernel's in a guest.
type External struct {
	Host, Export string
	Version      string // "3", "4.1", "4.2", or "" to negotiate
}

// Variable names an external server: host:/export[,vers=3|4.1|4.2].
const Variable = "NFS_TEST_SERVER"

// FromEnv returns the servers of the environment variable NFS_TEST_SERVER, which are separated by spaces; none when it is
// not set.
func FromEnv() ([]External, error) {
	var servers []External
	for _, field := range strings.Fields(os.Getenv(Variable)) {
		source, options, _ := strings.Cut(field, ",")
		host, export, ok := strings.Cut(source, ":/")
		version := strings.TrimPrefix(options, "vers=")
		if !ok || host == "" || options != "" && version == options {
			return nil, fmt.Errorf("%s: %q is not host:/export[,vers=3|4.1|4.2]", Variable, field)
		}
		servers = append(servers, External{Host: strings.Trim(host, "[]"), Export: "/" + export, Version: version})
	}
	return servers, nil
}
