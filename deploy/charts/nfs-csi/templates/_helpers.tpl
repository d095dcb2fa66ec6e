{{/* The first part of every object's name, at most 50 characters, so that the longest suffix fits into the 63 of a label. */}}
{{- define "nfs-csi.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "nfs-csi.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nfs-csi.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the pods of one component. Called with (dict "root" $ "component" "controller"). Never changes between versions. */}}
{{- define "nfs-csi.selector" -}}
app.kubernetes.io/name: {{ include "nfs-csi.name" .root | toYaml }}
app.kubernetes.io/instance: {{ toYaml .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. Called with the root, or with a dict of root, component and the object's own labels, which count more. */}}
{{- define "nfs-csi.labels" -}}
{{- $root := .root | default . -}}
app.kubernetes.io/name: {{ include "nfs-csi.name" $root | toYaml }}
app.kubernetes.io/instance: {{ toYaml $root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with merge dict (.labels | default dict) $root.Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of an object of one component, as a whole "annotations:" block or nothing. */}}
{{- define "nfs-csi.annotations" -}}
{{- with .Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "nfs-csi.serviceAccount.controller" -}}
{{- .Values.serviceAccount.controller | default (printf "%s-controller" (include "nfs-csi.fullname" .)) -}}
{{- end -}}

{{- define "nfs-csi.serviceAccount.node" -}}
{{- .Values.serviceAccount.node | default (printf "%s-node" (include "nfs-csi.fullname" .)) -}}
{{- end -}}

{{/* What both pods need to reach NFS servers by TLS: arguments, mount and volume, or nothing. */}}
{{- define "nfs-csi.tls.args" -}}
{{- if .Values.tls.secretName -}}
- --tls-ca=/tls/ca.crt
{{- if .Values.tls.mutual }}
- --tls-cert=/tls/tls.crt
- --tls-key=/tls/tls.key
{{- end }}
{{- end -}}
{{- end -}}

{{- define "nfs-csi.tls.mount" -}}
{{- if .Values.tls.secretName -}}
- name: tls
  mountPath: /tls
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "nfs-csi.tls.volume" -}}
{{- with .Values.tls.secretName -}}
- name: tls
  secret:
    secretName: {{ toYaml . }}
{{- end -}}
{{- end -}}

{{- define "nfs-csi.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* The additional provisioner names as a JSON list: those listed and those that the classes use, each once, without the driver's own. */}}
{{- define "nfs-csi.provisionerNames" -}}
{{- $names := .Values.provisionerNames -}}
{{- range .Values.storageClasses -}}
{{- with .provisioner }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- without (uniq $names) .Values.driver.name | toJson -}}
{{- end -}}

{{/*
Whether a class has the export of its provisioner's name, NAME=SERVER:/PATH: "yes", or empty. Called with a dict of root and class. One
that names an export or a subDir is the driver's, whatever its provisioner is called.
*/}}
{{- define "nfs-csi.namedExport" -}}
{{- $named := "" -}}
{{- $class := .class -}}
{{- range .root.Values.provisionerNames -}}
{{- if and $class.provisioner (hasPrefix (printf "%s=" $class.provisioner) .) }}{{ $named = "yes" }}{{ end -}}
{{- end -}}
{{- range $key, $value := $class.parameters -}}
{{- if has (lower $key) (list "server" "share" "subdir") }}{{ $named = "" }}{{ end -}}
{{- end -}}
{{- $named -}}
{{- end -}}

{{/*
Whether a class names its export, itself, by its provisioner's name or by the release's default: "yes", or empty. Called with a dict of
root and class. Parameter names are case-insensitive to the driver, and so they are here.
*/}}
{{- define "nfs-csi.hasExport" -}}
{{- $nfs := .root.Values.nfs -}}
{{- $server := $nfs.server -}}
{{- $share := $nfs.share -}}
{{- range $key, $value := .class.parameters -}}
{{- if eq (lower $key) "server" }}{{ $server = $value }}{{ end -}}
{{- if eq (lower $key) "share" }}{{ $share = $value }}{{ end -}}
{{- end -}}
{{- if include "nfs-csi.namedExport" . }}yes
{{- else if and $server $share }}yes
{{- else if $server -}}
{{- fail (printf "storageClasses: class %q has a server but no share: set it in the class's parameters" .class.name) -}}
{{- else if $share -}}
{{- fail (printf "storageClasses: class %q has a share but no server: set it in the class's parameters" .class.name) -}}
{{- end -}}
{{- end -}}

{{/* What the annotations of a pod are: those asked for, and Prometheus's. Called with a dict of root, component and port. */}}
{{- define "nfs-csi.podAnnotations" -}}
{{- $annotations := dict -}}
{{- if and .root.Values.metrics.enabled (not .root.Values.metrics.podMonitor.enabled) -}}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .port) "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- $annotations = merge (deepCopy (index .root.Values .component).podAnnotations) (deepCopy .root.Values.commonAnnotations) $annotations -}}
{{- with $annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* How the default export is reached, as a JSON list: the mount options of the first class that uses it. */}}
{{- define "nfs-csi.defaultMountOptions" -}}
{{- $found := list -}}
{{- $done := false -}}
{{- range $class := .Values.storageClasses -}}
{{- $own := include "nfs-csi.namedExport" (dict "root" $ "class" $class) -}}
{{- range $key, $value := $class.parameters -}}
{{- if has (lower $key) (list "server" "share") }}{{ $own = "yes" }}{{ end -}}
{{- end -}}
{{- if and (not $done) (not $own) (ne $class.create false) -}}
{{- $found = $class.mountOptions | default list -}}
{{- $done = true -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
