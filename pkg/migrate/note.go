package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A note is a ConfigMap with these labels and keys.
const (
	noteLabel        = "nfs-csi.github.io/migration"
	noteValue        = "volume"
	keyOld, keyNew   = "old.json", "new.json"
	notePrefix       = "nfs-csi-migration-"
	maxConfigMapName = 253
)

// note is what is known of a volume that is being moved, or was: all that is needed to go on or back.
type note struct {
	old, new *v1.PersistentVolume
}

func noteName(volume string) string {
	if len(notePrefix)+len(volume) <= maxConfigMapName {
		return notePrefix + volume
	}
	sum := sha256.Sum256([]byte(volume))
	return notePrefix + hex.EncodeToString(sum[:])
}

// notes reads all notes, by the volumes' names.
func (m *Migration) notes(ctx context.Context) (map[string]note, error) {
	list, err := m.Client.CoreV1().ConfigMaps(m.Namespace).List(ctx, metav1.ListOptions{LabelSelector: noteLabel + "=" + noteValue})
	if err != nil {
		return nil, fmt.Errorf("listing the notes of earlier runs in namespace %q: %w", m.Namespace, err)
	}
	notes := map[string]note{}
	for _, c := range list.Items {
		n, err := readNote(&c)
		if err != nil {
			return nil, err
		}
		notes[n.old.Name] = n
	}
	return notes, nil
}

func readNote(c *v1.ConfigMap) (n note, err error) {
	n.old, n.new = &v1.PersistentVolume{}, &v1.PersistentVolume{}
	if err = json.Unmarshal([]byte(c.Data[keyOld]), n.old); err == nil {
		err = json.Unmarshal([]byte(c.Data[keyNew]), n.new)
	}
	if err == nil && (n.old.Name == "" || n.old.Name != n.new.Name || c.Name != noteName(n.old.Name) || n.new.Spec.CSI == nil) {
		err = fmt.Errorf("it is not as this program writes it")
	}
	if err != nil {
		return note{}, fmt.Errorf("ConfigMap %s/%s, the note of a volume that was moved, cannot be read: see what became of that volume, then delete the note: %w", c.Namespace, c.Name, err)
	}
	return n, nil
}

// write makes the note of a volume, or finds the same one that an earlier try made.
func (m *Migration) write(ctx context.Context, n note) error {
	older, err := json.Marshal(n.old)
	if err != nil {
		return fmt.Errorf("writing down the old volume: %w", err)
	}
	newer, err := json.Marshal(n.new)
	if err != nil {
		return fmt.Errorf("writing down the new volume: %w", err)
	}
	fixed := true
	c := &v1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: noteName(n.old.Name), Namespace: m.Namespace, Labels: map[string]string{noteLabel: noteValue, "app.kubernetes.io/managed-by": "nfs-csi"}},
		Immutable:  &fixed,
		Data:       map[string]string{keyOld: string(older), keyNew: string(newer)},
	}
	_, err = m.Client.CoreV1().ConfigMaps(m.Namespace).Create(ctx, c, metav1.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		there, err := m.Client.CoreV1().ConfigMaps(m.Namespace).Get(ctx, c.Name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading the note of an earlier run: %w", err)
		}
		if !equality.Semantic.DeepEqual(there.Data, c.Data) {
			return fmt.Errorf("there is already another note of it, ConfigMap %s/%s: another run is under way, or was; make a new plan", m.Namespace, c.Name)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the note that makes undoing possible: %w", err)
	}
	return nil
}

// forget removes the note of a volume; that there is none is fine.
func (m *Migration) forget(ctx context.Context, volume string) error {
	err := m.Client.CoreV1().ConfigMaps(m.Namespace).Delete(ctx, noteName(volume), metav1.DeleteOptions{})
	if err != nil && !errors.IsNotFound(err) {
		return fmt.Errorf("removing the note: %w", err)
	}
	return nil
}
