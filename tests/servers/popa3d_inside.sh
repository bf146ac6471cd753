# Runs popa3d inside the namespaces of private_mounts.py; see popa3d.py.
# From there: MAIL (the directory of the mbox files), USERS (lines for /etc/passwd), CRYPTED (the password of all),
# PYTHON and INETD (a script that serves a port with a program), PORT.
set -eu
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/popa3d
mount --bind "$MAIL" /var/mail
echo 'popa3d:x:64990:64990::/var/lib/popa3d:/usr/sbin/nologin' >> /etc/passwd
echo 'popa3d:x:64990:' >> /etc/group
cat "$USERS" >> /etc/passwd
cut -d: -f1 "$USERS" | while read -r user; do echo "$user:$CRYPTED:19000:0:99999:7:::"; done >> /etc/shadow
for kind in auth account session; do echo "$kind required pam_unix.so"; done > /etc/pam.d/popa3d
exec "$PYTHON" "$INETD" "$PORT" /usr/sbin/popa3d
