{{- /*
What the operator may do where it watches: the verbs it uses, nothing else. `cargo dev test e2e`
compares this list with what the API server's audit log says was used.
*/ -}}
{{- define "post-operator.rules" -}}
- apiGroups: [platform.hhottdogg.shop]
  resources: [postservices]
  verbs: [list, watch]
- apiGroups: [platform.hhottdogg.shop]
  resources: [postservices/status]
  verbs: [patch]
- apiGroups: [""]
  # Secrets that a PostService names, by name, and its own: neither list nor watch.
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  # What the load balancer's controller says of a Service.
  resources: [events]
  verbs: [list]
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
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
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Where the operator itself runs: its part in the election. */ -}}
{{- define "post-operator.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ .Release.Name }}]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  # A rule with names cannot cover what does not exist yet.
  resources: [leases]
  verbs: [create]
{{- end }}
