-- A Prosody of your own: all its files in the folder that it is started in, reached from this machine only.
data_path = "xmpp"
pidfile = "prosody.pid"
interfaces = { "127.0.0.1" }
component_interfaces = { "127.0.0.1" }
c2s_ports = { 5222 }
component_ports = { 5347 }
s2s_ports = {}
http_ports = {}
https_ports = {}
c2s_require_encryption = false -- on this machine only: real clients speak TLS
modules_enabled = { "roster", "saslauth", "disco", "ping" }
modules_disabled = { "s2s", "offline" } -- texts for who is not there wait in the hub, not in the server
log = { info = "*console" }

VirtualHost "localhost"

Component "sms.localhost"
  component_secret = "component-secret"
