# To be sourced: makes an apt of its own in a folder, with the mirror that the host's own apt uses. Nothing is installed and no
# setting of the host is changed. Then: apt-get -c FOLDER/apt.conf ...
#   private_apt FOLDER SUITE ARCHITECTURE deb|deb-src
private_apt() {
  mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p' | head -n 1)
  [ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
  [ -n "$mirror" ] || { echo "private-apt: apt has no mirror" >&2; return 1; }
  mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/preferences" "$1/state"
  : > "$1/status"
  echo "$4 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=$3] $mirror $2 main" > "$1/sources.list"
  cat > "$1/apt.conf" <<CONF
APT::Architecture "$3";
APT::Architectures { "$3"; };
APT::Install-Recommends "false";
Dir::State "$1/state";
Dir::State::Lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$1/preferences";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "1";
CONF
  apt-get -qq -c "$1/apt.conf" update
}
