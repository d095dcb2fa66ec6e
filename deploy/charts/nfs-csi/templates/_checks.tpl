{{/* What a schema cannot say: mistakes between values. */}}
{{- define "nfs-csi.checks" -}}
{{- if and .Values.nfs.server (not .Values.nfs.share) }}{{ fail "nfs.share is empty and nfs.server is not: give both, or neither" }}{{ end -}}
{{- if and .Values.nfs.share (not .Values.nfs.server) }}{{ fail "nfs.server is empty and nfs.share is not: give both, or neither" }}{{ end -}}
{{- include "nfs-csi.checks.classes" (list "storageClasses" .Values.storageClasses) -}}
{{- include "nfs-csi.checks.classes" (list "snapshots.classes" .Values.snapshots.classes) -}}
{{- if and .Values.snapshots.classes (not .Values.snapshots.enabled) -}}
{{- fail "snapshots.classes needs snapshots.enabled: nobody would make their snapshots" -}}
{{- end -}}
{{- if and .Values.controller.hostNetwork (eq (int .Values.metrics.controllerPort) (int .Values.metrics.nodePort)) -}}
{{- fail (printf "metrics.controllerPort and metrics.nodePort are both %v: with controller.hostNetwork they are on the same network and must differ" .Values.metrics.nodePort) -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.podMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if and .Values.tls.mutual (not .Values.tls.secretName) -}}
{{- fail "tls.mutual needs tls.secretName: the Secret, in the release's namespace, with ca.crt, tls.crt and tls.key" -}}
{{- end -}}
{{- range $value, $labels := dict "customLabels" .Values.customLabels "controller.podLabels" .Values.controller.podLabels "node.podLabels" .Values.node.podLabels -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- if hasKey $labels $label }}{{ fail (printf "%s has %s, by which the chart finds its own pods: leave it out" $value $label) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $account := include "nfs-csi.serviceAccount.controller" . -}}
{{- if and .Values.serviceAccount.create (eq $account (include "nfs-csi.serviceAccount.node" .)) -}}
{{- fail (printf "serviceAccount.controller and serviceAccount.node are both %q: the node's has no permissions, so they must differ" $account) -}}
{{- end -}}
{{- end -}}

{{/* Mistakes between classes. Called with the value's name and the classes. */}}
{{- define "nfs-csi.checks.classes" -}}
{{- $value := index . 0 -}}
{{- $names := list -}}
{{- $defaults := list -}}
{{- range index . 1 -}}
{{- if has .name $names }}{{ fail (printf "%s: two classes are named %q" $value .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- if .default }}{{ $defaults = append $defaults .name }}{{ end -}}
{{- end -}}
{{- if gt (len $defaults) 1 -}}
{{- fail (printf "%s: %s are all the default class, and there can be one" $value (join ", " $defaults)) -}}
{{- end -}}
{{- end -}}
