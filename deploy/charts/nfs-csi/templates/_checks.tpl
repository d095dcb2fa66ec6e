{{/* What a schema cannot say: mistakes between values. */}}
{{- define "nfs-csi.checks" -}}
{{- if and .Values.nfs.server (not .Values.nfs.share) }}{{ fail "nfs.share is empty and nfs.server is not: give both, or neither" }}{{ end -}}
{{- if and .Values.nfs.share (not .Values.nfs.server) }}{{ fail "nfs.server is empty and nfs.share is not: give both, or neither" }}{{ end -}}
{{- $names := list -}}
{{- $defaults := list -}}
{{- range .Values.storageClasses -}}
{{- if has .name $names }}{{ fail (printf "storageClasses: two classes are named %q" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- if .default }}{{ $defaults = append $defaults .name }}{{ end -}}
{{- end -}}
{{- if gt (len $defaults) 1 -}}
{{- fail (printf "storageClasses: %s are all the default class, and a cluster can have one" (join ", " $defaults)) -}}
{{- end -}}
{{- if and .Values.snapshots.classes (not .Values.snapshots.enabled) -}}
{{- fail "snapshots.classes needs snapshots.enabled: nobody would make their snapshots" -}}
{{- end -}}
{{- if and .Values.controller.hostNetwork (eq (int .Values.metrics.controllerPort) (int .Values.metrics.nodePort)) -}}
{{- fail (printf "metrics.controllerPort and metrics.nodePort are both %v: with controller.hostNetwork they are on the same network and must differ" .Values.metrics.nodePort) -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.podMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- end -}}
