package nfs

import (
	"fmt"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

var (
	errNoDirectory = fmt.Errorf("the export is no directory: %w", syscall.ENOTDIR)
	errLink        = fmt.Errorf("the export is a symbolic link, which we do not follow: name the directory that it leads to: %w", syscall.ELOOP)
)

// explainWalk says what a failed way to the export means.
func (o *opening) explainWalk(err error) error {
	switch status.Of(err) {
	case status.NoEnt:
		return fmt.Errorf("the path does not exist on the server, or is not exported to this client: %w", err)
	case status.NotDir, status.Symlink:
		return fmt.Errorf("the path leads through something that is no directory: %w", err)
	case status.Access, status.Perm:
		return fmt.Errorf("%w: %w (check the path, and that the export admits this client's address; %s)", ErrRefused, err, o.aboutPort())
	}
	return err
}

// aboutPort says what the source port may have to do with a refusal. Linux calls exports that admit low ports only
// "secure", which they are unless they say "insecure".
func (o *opening) aboutPort() string {
	const lowest = 1024 // of the ports that any process may have, by tradition
	port := o.dialer.Memory.SourcePort()
	switch {
	case port >= lowest && o.config.SourcePorts == AnyPort:
		return fmt.Sprintf("we call from port %d because of noresvport, and exports that are not 'insecure' admit ports below %d only: "+
			"remove noresvport from the mount options, or add 'insecure' to the export", port, lowest)
	case port >= lowest:
		return fmt.Sprintf("we call from port %d because this process may not use lower ones, and exports that are not 'insecure' admit ports "+
			"below %d only: add 'insecure' to the export, or allow low ports with the sysctl net.ipv4.ip_unprivileged_port_start=512, which the "+
			"chart sets unless controller.podSecurityContext says otherwise", port, lowest)
	}
	return fmt.Sprintf("we call from port %d, but where addresses are translated on the way the server may see one above %d, which only exports with "+
		"'insecure' admit: add that, or call from a node's own address with the chart's controller.hostNetwork=true", port, lowest-1)
}

// mustWrite refuses a directory that nobody may write to when an owner to act as is wanted. Nothing in the protocol tells
// a read-only export from the kernel's pseudo directories, which have file system ids of their own.
func (o *opening) mustWrite(writable bool) error {
	if writable || !o.config.ActAsOwner {
		return nil
	}
	return fmt.Errorf("%w: neither we nor the directory's owner may write there (export it read-write to this client's "+
		"address; with root_squash, let the directory belong to a user who is not root, or export it with no_root_squash; with all_squash, "+
		"let it belong to the anonymous user; if all is so, the path may be one above the export)", ErrRefused)
}
