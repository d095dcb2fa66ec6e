{{/*
The values of nfs-subdir-external-provisioner's chart: each is refused with what replaces it, all at once. What has the same name and
meaning here (nfs.server, rbac.create, ...) is not in the list. docs/migrate-from-nfs-subdir.md has the table, and its test tries every row.
*/}}
{{- define "nfs-csi.takeover.subdir" -}}
{{- $refused := list -}}
{{- range $path, $instead := dict
    "nfs.path" "set nfs.share"
    "nfs.mountOptions" "give them to the classes: storageClasses[].mountOptions, where the controller reads them too"
    "nfs.volumeName" "leave it out: nothing is mounted in the controller"
    "nfs.reclaimPolicy" "leave it out: nothing is mounted in the controller"
    "replicaCount" "set controller.replicas"
    "strategyType" "leave it out: the pods agree on the one that works"
    "leaderElection" "leave it out: it is always on; controller.extraArgs=[--leader-election=false] switches it off"
    "podSecurityPolicy" "leave it out: Kubernetes has it no more; the controller passes Pod Security restricted"
    "podAnnotations" "set controller.podAnnotations"
    "podSecurityContext" "set controller.podSecurityContext"
    "securityContext" "set controller.securityContext"
    "priorityClassName" "set controller.priorityClassName"
    "resources" "set controller.resources"
    "nodeSelector" "set controller.nodeSelector"
    "tolerations" "set controller.tolerations"
    "affinity" "set controller.affinity"
    "labels" "set customLabels"
    "podDisruptionBudget" "leave it out: there is one where controller.replicas is more than 1"
    "buildMode" "leave it out"
    "serviceAccount.name" "set serviceAccount.controller"
    "storageClass.provisionerName" "set provisionerNames, and storageClasses[].provisioner for classes of this release"
    "storageClass.defaultClass" "set storageClasses[].default"
    "storageClass.archiveOnDelete" "set storageClasses[].parameters.archiveOnDelete"
    "storageClass.onDelete" "set storageClasses[].parameters.onDelete"
    "storageClass.pathPattern" "set storageClasses[].parameters.pathPattern"
    "storageClass.accessModes" "leave it out: a claim asks for what it wants" -}}
{{- $parts := splitList "." $path -}}
{{- $in := $.Values -}}
{{- range initial $parts }}{{ $in = get $in . | default dict }}{{ end -}}
{{- if hasKey $in (last $parts) }}{{ $refused = append $refused (printf "- %s: %s" $path $instead) }}{{ end -}}
{{- end -}}
{{- $class := .Values.storageClass | default dict -}}
{{- if and $class (not (hasKey $class "create")) -}}
{{- $refused = append $refused (printf "- storageClass: write it as one of storageClasses: [{name: %s, provisioner: NAME OF THE OLD CLASS'S PROVISIONER, parameters: {...}}]" ($class.name | default "nfs-client")) -}}
{{- end -}}
{{- if contains "nfs-subdir-external-provisioner" .Values.image.repository -}}
{{- $refused = append $refused "- image.repository: another program's image: set it to where nfs-csi's is" -}}
{{- end -}}
{{- with $refused }}{{ fail (printf "values of nfs-subdir-external-provisioner that have another place here (docs/migrate-from-nfs-subdir.md):\n%s" (join "\n" .)) }}{{ end -}}
{{- end -}}
