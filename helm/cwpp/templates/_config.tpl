{{/*
The configuration file of one service as a YAML map, in the binary's own keys. Takes root, name and service.
Passwords and keys are only named by their files.
*/}}
{{- define "cwpp.config" -}}
{{- $values := .root.Values -}}
{{- $fullname := include "cwpp.fullname" .root -}}
{{- $jwt := dict
  "issuer" (required "auth.issuer is mandatory: the iss that every token must carry" $values.auth.issuer)
  "audience" (required "auth.audience is mandatory: the aud that every token must carry" $values.auth.audience)
  "jwks_file" (printf "/etc/cwpp/jwks/%s" $values.auth.jwks.key) -}}
{{- $database := dict
  "host" (required "database.host is mandatory" $values.database.host)
  "port" $values.database.port
  "name" .service.database.name
  "user" $values.database.user
  "password_file" (printf "/etc/cwpp/database/%s" $values.database.passwordKey)
  "tls_mode" $values.database.tls.mode
  "max_connections" $values.database.maxConnections -}}
{{- $keyFiles := list -}}
{{- range $values.keys.pageToken -}}
{{- $keyFiles = append $keyFiles (printf "/etc/cwpp/keys/%s" .) -}}
{{- end -}}
{{- $_ := set $database "key_files" $keyFiles -}}
{{- if $values.database.tls.caSecret -}}
{{- $_ := set $database "tls_ca_file" (printf "/etc/cwpp/database-ca/%s" $values.database.tls.caKey) -}}
{{- end -}}
{{- $peers := dict -}}
{{- range $peer := splitList " " (include "cwpp.calls" .) -}}
{{- $far := get $values.services $peer | default dict -}}
{{- if $far.enabled -}}
{{- $_ := set $peers $peer (printf "http://%s-%s-headless:%d" $fullname $peer (int $far.ports.grpc)) -}}
{{- end -}}
{{- end -}}
{{- $config := dict
  "grpc" (dict "listen" (printf "0.0.0.0:%d" (int .service.ports.grpc)))
  "admin" (dict "listen" (printf "0.0.0.0:%d" (int .service.ports.admin)))
  "auth" (dict "mode" $values.auth.mode "jwt" $jwt "token_file" "/var/run/secrets/cwpp/token")
  "database" $database
  "shutdown" (dict
    "lame_duck" (printf "%ds" (int $values.shutdown.lameDuckSeconds))
    "drain" (printf "%ds" (int $values.shutdown.drainSeconds))
    "hard" (printf "%ds" (add (int $values.shutdown.lameDuckSeconds) (int $values.shutdown.drainSeconds) 5)))
  "log" (dict "level" $values.log.level "format" $values.log.format)
  "trace" (dict "ratio" $values.trace.sampleRatio) -}}
{{- if $peers -}}
{{- $_ := set $config "peers" $peers -}}
{{- end -}}
{{- if eq .name "configuration" -}}
{{- $_ := set $config "region" $values.region -}}
{{- end -}}
{{- if eq .name "retention" -}}
{{- $former := list -}}
{{- range $values.keys.formerSigning -}}
{{- $former = append $former (printf "/etc/cwpp/keys/%s" .) -}}
{{- end -}}
{{- $_ := set $config "signing" (dict "key_file" (printf "/etc/cwpp/keys/%s" $values.keys.signing) "former_key_files" $former) -}}
{{- $_ := set $config "backup" (dict
  "retention" $values.backup.retention
  "binlog" $values.backup.binlog
  "external_horizon" (required "backup.externalHorizon is mandatory; 0s where no other copies are" $values.backup.externalHorizon)) -}}
{{- if $values.ledger.existingClaim -}}
{{- $_ := set $config "ledger" (dict "file" "/var/lib/cwpp/ledger/ledger.jsonl") -}}
{{- end -}}
{{- end -}}
{{- if $values.trace.endpoint -}}
{{- $_ := set $config.trace "endpoint" $values.trace.endpoint -}}
{{- end -}}
{{- mergeOverwrite $config (deepCopy .service.config) | toYaml -}}
{{- end -}}

{{/*
A map as TOML. Helm's own toToml writes every number of a values file as a float (port = 3306.0). Takes path
(the table's name, empty at the root) and map.
*/}}
{{- define "cwpp.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .map -}}
{{- if and (not (kindIs "map" $value)) (not (kindIs "invalid" $value)) }}
{{ $key }} = {{ include "cwpp.tomlValue" (dict "float" (eq $key "ratio") "value" $value) }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .map -}}
{{- if kindIs "map" $value -}}
{{- $table := ternary $key (printf "%s.%s" $path $key) (eq $path "") }}
{{ printf "\n[%s]" $table }}
{{- include "cwpp.toml" (dict "path" $table "map" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cwpp.tomlValue" -}}
{{- if kindIs "slice" .value -}}
{{- $items := list -}}
{{- range .value -}}
{{- $items = append $items (include "cwpp.tomlValue" (dict "float" false "value" .)) -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else if kindIs "string" .value -}}
{{- toJson .value -}}
{{- else if and (kindIs "float64" .value) (not .float) (eq .value (floor .value)) -}}
{{- printf "%d" (int64 .value) -}}
{{- else if and .float (eq (float64 .value) (floor .value)) -}}
{{- printf "%.1f" (float64 .value) -}}
{{- else -}}
{{- .value -}}
{{- end -}}
{{- end -}}

{{- define "cwpp.configFile" -}}
{{- include "cwpp.toml" (dict "path" "" "map" (include "cwpp.config" . | fromYaml)) | trim -}}
{{- end -}}
