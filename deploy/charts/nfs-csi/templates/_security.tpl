{{/*
The controller runs without any privilege. Exports that are "secure", as most are, admit only source ports below 1024: in the pod's own
network the safe sysctl gives those to everybody. In the node's network a pod may set no sysctl, and a capability reaches only root,
so there the controller is root with that single capability.
*/}}
{{- define "nfs-csi.controller.podSecurityContext" -}}
{{- $own := dict "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if .Values.controller.hostNetwork -}}
{{- $own = merge $own (dict "runAsUser" 0 "runAsGroup" 0) -}}
{{- else -}}
{{- $sysctls := list (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "512") -}}
{{- $own = merge $own (dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "sysctls" $sysctls) -}}
{{- end -}}
{{- include "nfs-csi.override" (list $own .Values.controller.podSecurityContext) -}}
{{- end -}}

{{- define "nfs-csi.controller.securityContext" -}}
{{- $own := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- if .Values.controller.hostNetwork -}}
{{- $_ := set $own.capabilities "add" (list "NET_BIND_SERVICE") -}}
{{- end -}}
{{- include "nfs-csi.override" (list $own .Values.controller.securityContext) -}}
{{- end -}}

{{/* The node's privilege is what Kubernetes asks of a container whose mounts are to be seen by others ("Bidirectional"). */}}
{{- define "nfs-csi.node.podSecurityContext" -}}
{{- $own := dict "runAsUser" 0 "runAsGroup" 0 -}}
{{- include "nfs-csi.override" (list $own .Values.node.podSecurityContext) -}}
{{- end -}}

{{- define "nfs-csi.node.securityContext" -}}
{{- $own := dict "privileged" true "readOnlyRootFilesystem" true -}}
{{- include "nfs-csi.override" (list $own .Values.node.securityContext) -}}
{{- end -}}

{{/* The first map with the keys of the second in place of its own, as YAML. (mergeOverwrite would pass over false and empty values.) */}}
{{- define "nfs-csi.override" -}}
{{- $own := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- $_ := set $own $key $value -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}
