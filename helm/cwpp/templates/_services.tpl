{{/*
One service as YAML: the defaults, overridden by services.NAME. Takes root and name.
*/}}
{{- define "cwpp.service" -}}
{{- $own := get .root.Values.services .name | default dict -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy $own) | toYaml -}}
{{- end -}}

{{/*
Whom a service calls: the call graph, which peers, addresses and the network policy follow. Takes name.
*/}}
{{- define "cwpp.calls" -}}
{{- get (dict
  "inventory" "configuration"
  "incidents" "configuration inventory"
  "configuration" ""
  "retention" "configuration inventory incidents") .name -}}
{{- end -}}

{{/* The time a pod may take to end: lame duck, drain, and ten seconds for the rest
(the process ends itself five seconds before). */}}
{{- define "cwpp.gracePeriod" -}}
{{- add (int .Values.shutdown.lameDuckSeconds) (int .Values.shutdown.drainSeconds) 10 -}}
{{- end -}}
