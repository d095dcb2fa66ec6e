package volume

// ParamMountOptions is no parameter of a StorageClass, which has a field for them.
const ParamMountOptions = "mountOptions"

// Place is where users write parameters; several may be joined by |.
type Place uint8

// The places.
const (
	InClass           Place = 1 << iota // parameters of a StorageClass
	InAttributesClass                   // parameters of a VolumeAttributesClass
	InSnapshotClass                     // parameters of a VolumeSnapshotClass
	InAttributes                        // volumeAttributes of a PersistentVolume
)

// Parameter is one key that users write, in any case. docs/parameters.md is made of these.
type Parameter struct {
	Name    string
	In      Place
	Values  string // what may be written
	Default string // what counts where it is not written; "" for nothing
	Meaning string
}

// Parameters are all that there are, in the order in which people read about them.
func Parameters() []Parameter { return append([]Parameter(nil), parameters[:]...) }

// Names are those that may be written at a place.
func Names(in Place) (names []string) {
	for _, p := range parameters {
		if p.In&in != 0 {
			names = append(names, p.Name)
		}
	}
	return names
}

const numberOfID = "0 to 4294967294"

var parameters = [...]Parameter{
	{ParamServer, InClass | InSnapshotClass | InAttributes, "host name or address, IPv6 with or without brackets", "chart value `nfs.server`",
		"The NFS server. A VolumeSnapshotClass may only name the server of the volume."},
	{ParamShare, InClass | InSnapshotClass | InAttributes, "path", "chart value `nfs.share`",
		"The exported directory in which volumes are directories. A VolumeSnapshotClass may only name the share of the volume."},
	{ParamSubDir, InClass | InAttributes, "path below the share", "`namespace-claim-volume`, or chart value `driver.defaultSubDir`; as an attribute: the share itself",
		"The directory. In a class it is a template: `${pvc.metadata.name}`, `${pvc.metadata.namespace}`, `${pv.metadata.name}`, `${pvc.metadata.labels.KEY}`, " +
			"`${pvc.metadata.annotations.KEY}`, each with a fallback as in `${pvc.metadata.labels.team:-none}`. No element of it may be `.nfs-csi`."},
	{ParamPathPattern, InClass, "path below the share", "",
		"`subDir` in the words of nfs-subdir-external-provisioner: `${.PVC.name}`, `${.PVC.namespace}`, `${.PVC.labels.KEY}`, `${.PVC.annotations.KEY}`. " +
			"Where all of them are missing the directory is the default one."},
	{ParamOnDelete, InClass | InAttributesClass, "`delete`, `retain`, `archive`", "chart value `driver.defaultOnDelete`, else `delete`",
		"What becomes of the directory when the volume is deleted: it is removed, stays, or is renamed to `archived-…`."},
	{ParamArchiveOnDelete, InClass, "`true`, `false`", "", "`onDelete: archive` or `onDelete: delete`, as nfs-subdir-external-provisioner says it."},
	{ParamArchiveRetention, InClass | InAttributesClass, "duration such as `720h`", "`0`: for ever", "How long an archive is kept."},
	{ParamMountPermissions, InClass | InAttributesClass | InAttributes, "octal mode such as `0770`", "chart value `driver.mountPermissions`, else `0777`; elsewhere: unchanged",
		"Mode of the directory; `0` is as if it were not written. As an attribute: set at each mount to be written."},
	{ParamUID, InClass | InAttributesClass | InAttributes, numberOfID, "whom the server takes us for; elsewhere: unchanged",
		"Owner of the directory. As an attribute: set at each mount to be written, for PersistentVolumes that people made."},
	{ParamGID, InClass | InAttributesClass | InAttributes, numberOfID, "as `uid`", "Group of the directory, as `uid`."},
	{ParamOnExisting, InClass, "`refuse`, `adopt`", "`refuse`", "Whether a directory that is there already and belongs to no volume, nor to another provisioner's in the same cluster, is used."},
	{ParamCapacityCheck, InClass, "`none`, `strict`", "`none`", "`strict` refuses a volume that the export has no room for."},
	{ParamCapacityReserve, InClass, "size such as `50Gi`, or `5%`", "`0`", "Room of the export that no volume may count on."},
	{ParamMountOptions, InSnapshotClass | InAttributes, "options as for mount(8), joined by commas", "the PersistentVolume's `mountOptions`",
		"In a VolumeSnapshotClass: how the controller reaches the server. As an attribute: more options of the mount."},
}
