{{- /* Names and labels. A Deployment may not change its selector, so mailfetch.selector must stay as it is. */ -}}

{{- define "mailfetch.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end }}

{{- define "mailfetch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "mailfetch.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "mailfetch.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "mailfetch.labels" -}}
app.kubernetes.io/name: {{ include "mailfetch.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mailfetch
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* dict "root" $ "component" "operator" */ -}}
{{- define "mailfetch.selector" -}}
app.kubernetes.io/name: {{ include "mailfetch.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "mailfetch.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (printf "%s-operator" (include "mailfetch.fullname" .)) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "mailfetch.image" -}}
{{- $repository := required "image.repository is empty: build the image from the repository's Dockerfile, push it to a registry of yours, and set image.repository to its name" .Values.image.repository -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end }}

{{- /* JSON list of the namespaces that get the Secret mailfetch-redis. */ -}}
{{- define "mailfetch.namespaces" -}}
{{- $fallback := default (list .Release.Namespace) .Values.watch.namespaces -}}
{{- default $fallback .Values.namespaces | toJson -}}
{{- end }}

{{- /* Pod Security "restricted" wants these of each pod and container; none of ours needs more. */ -}}
{{- define "mailfetch.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mailfetch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* nodeSelector and so on, of .Values.operator or .Values.redis */ -}}
{{- define "mailfetch.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}
