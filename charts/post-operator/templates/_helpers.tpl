{{- define "post-operator.labels" -}}
app.kubernetes.io/name: post-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "post-operator.selector" -}}
app.kubernetes.io/name: post-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "post-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* What the operator may do where it watches: the verbs it uses, nothing else. */ -}}
{{- define "post-operator.rules" -}}
- apiGroups: [platform.hhottdogg.shop]
  resources: [postservices]
  verbs: [list, watch]
- apiGroups: [platform.hhottdogg.shop]
  resources: [postservices/status]
  verbs: [patch]
- apiGroups: [""]
  # The Secrets that a PostService names, and the two that the operator makes: by name only.
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  # What the load balancer's controller says while there is no load balancer yet.
  resources: [events]
  verbs: [list]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [elbv2.k8s.aws]
  resources: [targetgroupbindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
