{{/*
The values of csi-driver-nfs, so that a release's old values can be given as they are: those with a place here are moved to it, those that
cannot mean anything here are passed over and NOTES say so, and the others are refused with what replaces them. Every template that reads
values begins with this. docs/migrate-from-csi-driver-nfs.md has the table, and its test tries every row.
*/}}
{{- define "nfs-csi.takeover" -}}
{{- include "nfs-csi.takeover.subdir" . -}}
{{- $found := include "nfs-csi.takeover.found" . | fromJsonArray -}}
{{- $refused := include "nfs-csi.takeover.refused" . -}}
{{- if and $found (eq .Values.driver.name "nfs-csi.github.io") -}}
{{- $refused = printf "%s\n- driver.name: %s is a value of csi-driver-nfs, whose volumes need the driver's old name: set driver.name=nfs.csi.k8s.io" $refused (first $found) -}}
{{- end -}}
{{- with trim $refused }}{{ fail (printf "values of csi-driver-nfs that mean something else here (docs/migrate-from-csi-driver-nfs.md):\n%s" .) }}{{ end -}}
{{- range $old, $new := dict
    "controller.defaultOnDeletePolicy" "driver.defaultOnDelete"
    "controller.enableSnapshotter" "snapshots.enabled"
    "controller.livenessProbe.healthPort" "metrics.controllerPort"
    "node.livenessProbe.healthPort" "metrics.nodePort"
    "image.nfs.pullPolicy" "image.pullPolicy" -}}
{{- include "nfs-csi.takeover.move" (list $.Values $old $new) -}}
{{- end -}}
{{- if not (kindIs "string" .Values.driver.mountPermissions) }}{{ $_ := set .Values.driver "mountPermissions" "" }}{{ end -}}
{{- with .Values.feature -}}
{{- if eq (toString .enableFSGroupPolicy) "false" }}{{ $_ := set $.Values.driver "fsGroupPolicy" "ReadWriteOnceWithFSType" }}{{ end -}}
{{- end -}}
{{- $_ := unset .Values "feature" -}}
{{- with .Values.storageClass -}}
{{- if .create -}}
{{- $others := $.Values.storageClasses -}}
{{- if eq ($others | toJson) `[{"name":"nfs"}]` }}{{ $others = list }}{{ end -}}
{{- $_ := set $.Values "storageClasses" (append $others (omit . "create")) -}}
{{- $_ := unset $.Values "storageClass" -}}
{{- end -}}
{{- end -}}
{{- with .Values.volumeSnapshotClass -}}
{{- if .create }}{{ $_ := set $.Values.snapshots "classes" (append $.Values.snapshots.classes (omit . "create")) }}{{ $_ := unset $.Values "volumeSnapshotClass" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Moves a value to another place. Called with the values, the path of the old place and that of the new one. */}}
{{- define "nfs-csi.takeover.move" -}}
{{- $old := splitList "." (index . 1) -}}
{{- $from := index . 0 -}}
{{- range initial $old }}{{ $from = get $from . | default dict }}{{ end -}}
{{- if hasKey $from (last $old) -}}
{{- $new := splitList "." (index . 2) -}}
{{- $to := index . 0 -}}
{{- range initial $new }}{{ $to = get $to . }}{{ end -}}
{{- $_ := set $to (last $new) (get $from (last $old)) -}}
{{- $_ := unset $from (last $old) -}}
{{- if and (not $from) (gt (len $old) 2) }}{{ $_ := unset (get (index . 0) (first $old)) (index $old 1) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* What is refused: a line each, empty for nothing. */}}
{{- define "nfs-csi.takeover.refused" -}}
{{- $image := .Values.image -}}
{{- $nfs := $image.nfs | default dict -}}
{{- if $nfs.repository }}
- image.nfs.repository: another program's image: set image.repository to where nfs-csi's is
{{- end }}
{{- if $nfs.tag }}
- image.nfs.tag: another program's version: set image.tag, or leave it out
{{- end }}
{{- if and $image.baseRepo (ne $image.baseRepo "registry.k8s.io") }}
- image.baseRepo: set image.repository, with the registry in it
{{- end }}
{{- $permissions := .Values.driver.mountPermissions -}}
{{- if and (not (kindIs "string" $permissions)) (ne (int $permissions) 0) }}
- driver.mountPermissions: got the number {{ int $permissions }}: write the octal mode in quotes: {{ printf "%04o" (int $permissions) | quote }}
{{- end }}
{{- $feature := .Values.feature | default dict -}}
{{- if $feature.enableInlineVolume }}
- feature.enableInlineVolume: it lets the author of any pod mount any server: set inlineVolumes.servers to the exports that pods may name
{{- end }}
{{- if $feature.propagateHostMountOptions }}
- feature.propagateHostMountOptions: the node's nfsmount.conf is not read: write the options into the classes' mountOptions
{{- end }}
{{- $controller := .Values.controller -}}
{{- if and $controller.name (ne $controller.name "csi-nfs-controller") }}
- controller.name: set fullnameOverride, the first part of all objects' names
{{- end }}
{{- if and .Values.node.name (ne .Values.node.name "csi-nfs-node") }}
- node.name: set fullnameOverride, the first part of all objects' names
{{- end }}
{{- range tuple "runOnMaster" "runOnControlPlane" }}
{{- if get $controller . }}
- controller.{{ . }}: set controller.nodeSelector to the labels of those nodes
{{- end }}
{{- end }}
{{- range $part := tuple "controller" "node" }}
{{- if (get $.Values $part).resources.nfs }}
- {{ $part }}.resources.nfs: set {{ $part }}.resources: one container does all the work
{{- end }}
{{- end }}
{{- if (.Values.externalSnapshotter | default dict).enabled }}
- externalSnapshotter.enabled: this chart brings no snapshot controller and no CRDs: install those of kubernetes-csi/external-snapshotter, and see the guide before the old release takes its own away
{{- end }}
{{- end -}}

{{/* Paths that are found in the values and only csi-driver-nfs has, as a JSON list. */}}
{{- define "nfs-csi.takeover.found" -}}
{{- $found := list -}}
{{- range $path := tuple "feature" "externalSnapshotter" "volumeSnapshotClass" "nodeDriverRegistrar" "rbac.name" "node.name" "node.livenessProbe"
    "image.baseRepo" "image.nfs" "image.csiProvisioner" "image.csiResizer" "image.csiSnapshotter" "image.livenessProbe" "image.nodeDriverRegistrar" "image.externalSnapshotter"
    "controller.name" "controller.strategyType" "controller.runOnMaster" "controller.runOnControlPlane" "controller.enableSnapshotter"
    "controller.useTarCommandInSnapshot" "controller.enableSnapshotCompression" "controller.livenessProbe" "controller.workingMountDir" "controller.defaultOnDeletePolicy"
    "controller.resources.csiProvisioner" "controller.resources.csiResizer" "controller.resources.csiSnapshotter" "controller.resources.livenessProbe" "controller.resources.nfs"
    "node.resources.livenessProbe" "node.resources.nodeDriverRegistrar" "node.resources.nfs" -}}
{{- $parts := splitList "." $path -}}
{{- $in := $.Values -}}
{{- range initial $parts }}{{ $in = get $in . | default dict }}{{ end -}}
{{- if hasKey $in (last $parts) }}{{ $found = append $found $path }}{{ end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* Compute resources of a pod's one container: without those of containers that are not here. Called with a dict of root and component. */}}
{{- define "nfs-csi.resources" -}}
{{- omit (get .root.Values .component).resources "csiProvisioner" "csiResizer" "csiSnapshotter" "livenessProbe" "nodeDriverRegistrar" "nfs" | toYaml -}}
{{- end -}}
