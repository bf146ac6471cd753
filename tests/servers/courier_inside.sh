# Runs Courier's IMAP and POP3 servers inside the namespaces of private_mounts.py; see courier.py.
# From there: MAIL (the mailboxes), USERS (the file userdb), PEM (key and certificate), ACCOUNT (who owns the mails),
# IMAP IMAPS POP3 POP3S (ports).
set -eu
C=/etc/courier
ID=$(id -u "$ACCOUNT") GROUP=$(id -g "$ACCOUNT")
mount -t tmpfs tmpfs /run
mkdir -p /run/courier/authdaemon
echo "courier:x:$ID:$GROUP::/nonexistent:/usr/sbin/nologin" >> /etc/passwd
getent group courier > /dev/null || echo "courier:x:$GROUP:" >> /etc/group
for name in imapd pop3d; do install -m 600 -o "$ACCOUNT" "$PEM" $C/$name.pem; done
install -m 600 "$USERS" $C/userdb
makeuserdb
cat > $C/authdaemonrc <<X
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=5
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
X
export LD_LIBRARY_PATH=/usr/lib:/usr/lib/courier-authlib
/usr/lib/courier/courier-authlib/authdaemond &
for _ in $(seq 600); do [ ! -S /run/courier/authdaemon/socket ] || break; sleep 0.1; done

# serve NAME PORT TLS PROGRAM…: couriertcpd with the package's own settings.
serve() {
  (
    set +u; set -a # these files use variables that need not be set
    prefix=/usr exec_prefix=/usr sbindir=/usr/sbin bindir=/usr/bin
    name=$1 port=$2 tls=$3
    shift 3
    # shellcheck disable=SC1090
    . $C/"$name"
    . $C/"$name"-ssl
    TLS_CACHEFILE= TLS_TRUSTCERTS= IMAP_ULIMITD=
    IMAP_CAPABILITY="$IMAP_CAPABILITY AUTH=PLAIN" IMAP_CAPABILITY_TLS="$IMAP_CAPABILITY"
    IMAP_STARTTLS=YES POP3_STARTTLS=YES
    [ "$tls" = no ] || { IMAP_TLS=1 POP3_TLS=1; set -- /usr/bin/couriertls -server -tcpd "$@"; }
    exec /usr/sbin/couriertcpd -address=127.0.0.1 -maxprocs=200 -maxperip=200 -nodnslookup -noidentlookup "$port" "$@"
  ) &
}
LIB=/usr/lib/courier/courier
serve imapd "$IMAP" no $LIB/imaplogin /usr/bin/imapd Maildir
serve imapd "$IMAPS" yes $LIB/imaplogin /usr/bin/imapd Maildir
serve pop3d "$POP3" no $LIB/courierpop3login $LIB/courierpop3d Maildir
serve pop3d "$POP3S" yes $LIB/courierpop3login $LIB/courierpop3d Maildir
wait
