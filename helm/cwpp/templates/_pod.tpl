{{- define "cwpp.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "cwpp.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Where a pod goes: the same for the service and its migration. */}}
{{- define "cwpp.placement" -}}
{{- with .service.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .service.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .service.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .service.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes secret: the database user's, that of the service or that of the migration. */}}
{{- define "cwpp.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/cwpp/config, readOnly: true}
- {name: database, mountPath: /etc/cwpp/database, readOnly: true}
{{- if .root.Values.database.tls.caSecret }}
- {name: database-ca, mountPath: /etc/cwpp/database-ca, readOnly: true}
{{- end }}
- {name: jwks, mountPath: /etc/cwpp/jwks, readOnly: true}
- {name: keys, mountPath: /etc/cwpp/keys, readOnly: true}
- {name: token, mountPath: /var/run/secrets/cwpp, readOnly: true}
{{- if and (eq .name "retention") .root.Values.ledger.existingClaim }}
- {name: ledger, mountPath: /var/lib/cwpp/ledger}
{{- end }}
{{- with .service.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cwpp.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
- name: config
  configMap:
    name: {{ include "cwpp.fullname" .root }}-{{ .name }}
- name: database
  secret:
    secretName: {{ required "database.existingSecret is mandatory: a secret with the database's password" .secret }}
    defaultMode: 0440
{{- with .root.Values.database.tls.caSecret }}
- name: database-ca
  secret:
    secretName: {{ . }}
{{- end }}
- name: jwks
  {{- if .root.Values.auth.jwks.existingConfigMap }}
  configMap:
    name: {{ .root.Values.auth.jwks.existingConfigMap }}
  {{- else }}
  secret:
    secretName: {{ required "auth.jwks.existingSecret or auth.jwks.existingConfigMap is mandatory" .root.Values.auth.jwks.existingSecret }}
  {{- end }}
- name: keys
  secret:
    secretName: {{ required "keys.existingSecret is mandatory: a secret with the platform's key files" .root.Values.keys.existingSecret }}
    defaultMode: 0440
- name: token
  projected:
    defaultMode: 0440
    sources:
      {{- with .root.Values.auth.token }}
      {{- if .existingSecret }}
      - secret:
          name: {{ .existingSecret }}
          items:
            - {key: {{ .key }}, path: token}
      {{- else }}
      - serviceAccountToken:
          path: token
          audience: {{ $.root.Values.auth.audience }}
          expirationSeconds: {{ int .expirationSeconds }}
      {{- end }}
      {{- end }}
{{- if and (eq .name "retention") .root.Values.ledger.existingClaim }}
- name: ledger
  persistentVolumeClaim:
    claimName: {{ .root.Values.ledger.existingClaim }}
{{- end }}
{{- with .service.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
