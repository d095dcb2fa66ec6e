package migrate

import (
	"context"
	stderrors "errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Config says what is moved to whom.
type Config struct {
	Client     kubernetes.Interface
	DriverName string                     // who gets the volumes
	From       []string                   // provisioner names, or CSI drivers, whose volumes are moved; empty: whoever made an in-tree NFS volume
	Exports    map[string]volume.Location // NFS_SERVER and NFS_PATH by provisioner name, "" for all others; what is missing is read from the provisioner's Deployment
	Namespace  string                     // of the notes
	Only       []string                   // names of PersistentVolumes; empty: all
	Wait       time.Duration              // for one volume to go, or to be bound; 0: a minute
	// Progress is told of each volume that was worked on; may be nil.
	Progress func(done, of int, name string, err error)
}

// Migration does it. Use it for one run.
type Migration struct{ Config }

// New prepares a migration; it does nothing yet.
func New(c Config) *Migration {
	if c.Wait == 0 {
		c.Wait = time.Minute
	}
	if c.Progress == nil {
		c.Progress = func(int, int, string, error) {}
	}
	return &Migration{c}
}

// Apply converts what a plan says can be, and finishes what was begun. It goes on after a volume that fails, and reports all
// failures, and the refusals of those that were asked for by name.
func (m *Migration) Apply(ctx context.Context, p Plan) error {
	if err := Installed(ctx, m.Client, m.DriverName); err != nil {
		return err
	}
	var work []Volume
	var refused []error
	for _, v := range p.Volumes {
		switch {
		case v.State == Convertible || v.State == Begun:
			work = append(work, v)
		case v.State == Refused && len(m.Only) > 0:
			refused = append(refused, fmt.Errorf("%s: %s", v.Name, v.Reason))
		}
	}
	return stderrors.Join(m.each(ctx, work, m.convert), stderrors.Join(refused...))
}

// Undo makes the volumes that a plan says were begun or converted what they were before, and removes their notes.
func (m *Migration) Undo(ctx context.Context, p Plan) error {
	return m.each(ctx, p.noted(), m.revert)
}

// Finish removes the notes of volumes that are converted or gone. They cannot be undone from then on.
func (m *Migration) Finish(ctx context.Context, p Plan) error {
	var work []Volume
	for _, v := range p.Volumes {
		if v.State == Converted || v.State == Gone {
			work = append(work, v)
		}
	}
	return m.each(ctx, work, func(ctx context.Context, v Volume) error { return m.forget(ctx, v.Name) })
}

// each does one volume after the other. One that was begun is brought to its end when ctx ends: a claim without its volume helps
// nobody.
func (m *Migration) each(ctx context.Context, work []Volume, do func(context.Context, Volume) error) error {
	failures := 0
	var first error
	for i, v := range work {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped after %d of %d volumes: run it again to go on: %w", i, len(work), err)
		}
		undisturbed, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*m.Wait)
		err := do(undisturbed, v)
		cancel()
		m.Progress(i+1, len(work), v.Name, err)
		if err != nil {
			failures++
			if first == nil {
				first = fmt.Errorf("%s: %w", v.Name, err)
			}
		}
	}
	if failures == 1 {
		return first
	}
	if failures > 0 {
		return fmt.Errorf("%d volumes failed, the first was %w", failures, first)
	}
	return nil
}

// Installed says why no pod of the cluster could use volumes of the driver, nil if it can.
func Installed(ctx context.Context, client kubernetes.Interface, driverName string) error {
	_, err := client.StorageV1().CSIDrivers().Get(ctx, driverName, metav1.GetOptions{})
	if errors.IsNotFound(err) {
		return fmt.Errorf("the cluster has no CSIDriver %q, so no pod could use its volumes: install the driver first, or name the one that is installed with --driver-name", driverName)
	}
	if err != nil {
		return fmt.Errorf("looking for CSIDriver %q: %w", driverName, err)
	}
	return nil
}

func (m *Migration) chosen(name string) bool {
	return len(m.Only) == 0 || slices.Contains(m.Only, name)
}
