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

{{- /* The `restricted` Pod Security level, of every pod of this chart. */ -}}
{{- define "post-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "post-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Names of objects outside of any namespace, of which another release may have some too. */ -}}
{{- define "post-operator.globalName" -}}
{{ .Release.Name }}
{{- if ne .Release.Namespace (printf "%s-system" .Release.Name) }}-{{ .Release.Namespace }}{{ end }}
{{- end }}
