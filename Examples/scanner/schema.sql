-- A vulnerability scanner's database: twelve networks of forty hosts, scanned once a week for 34 weeks.
--
-- Everything is computed from row numbers, so that each machine gets the same rows (random() differs between
-- versions of PostgreSQL). A *problem* is one check failing on one port of one host; it is born in some week, lives
-- for some weeks, and is found by every scan of its network in between: so consecutive scans resemble each other,
-- as they do in life. About 120,000 findings. The indexes are those that a normal team has.

CREATE TABLE hosts (
    id       integer PRIMARY KEY,
    network  text NOT NULL,
    name     text NOT NULL UNIQUE,
    address  inet NOT NULL,
    system   text NOT NULL
);

CREATE TABLE checks (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code      text NOT NULL UNIQUE,
    severity  text NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
    score     numeric(3, 1) NOT NULL,
    port      integer NOT NULL,
    title     text NOT NULL,
    evidence  text NOT NULL,
    advice    text NOT NULL
);

CREATE TABLE scans (
    id           integer PRIMARY KEY,
    network      text NOT NULL,
    profile      text NOT NULL,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL
);

CREATE TABLE findings (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scan_id   integer NOT NULL,
    host_id   integer NOT NULL,
    check_id  integer NOT NULL,
    port      integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    state     text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted')),
    evidence  text NOT NULL,
    found_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    name           text PRIMARY KEY,
    full_name      text NOT NULL,
    password_hash  text NOT NULL
);

-- The password is "demo". Few rounds, because this account guards nothing.
INSERT INTO users VALUES ('demo', 'Dana Demo',
    'pbkdf2:sha256:1000$headrace$f1d27bf267f6904f2a81137192f53ea502ad0b1c5092f177c5c006638b4073be');

INSERT INTO checks (code, severity, score, port, title, evidence, advice) VALUES
('TLS-001', 'high',     7.4,   443, 'TLS 1.0 and 1.1 are accepted', 'TLSv1.0 handshake with ECDHE-RSA-AES128-SHA', 'Offer TLS 1.2 and 1.3 only'),
('TLS-002', 'medium',   5.9,   443, 'Certificate expires soon', 'notAfter in % days', 'Renew it, and let renewal run by itself'),
('TLS-003', 'high',     7.5,   443, 'Certificate does not match the host name', 'CN=old-%.example.net', 'Issue one with the right subjectAltName'),
('TLS-004', 'medium',   6.1,   443, 'Weak Diffie-Hellman group', 'modp1024, seed %', 'Use X25519 or a group of 2048 bits and more'),
('TLS-005', 'low',      3.1,   443, 'No OCSP response is stapled', 'status_request unanswered, attempt %', 'Enable stapling'),
('TLS-006', 'medium',   5.3,   993, 'Self-signed certificate on IMAPS', 'issuer equals subject, serial %', 'Use a certificate of the internal authority'),
('TLS-007', 'critical', 9.1,   636, 'LDAPS accepts anonymous NULL ciphers', 'ADH-AES256-SHA after % ms', 'Remove aNULL from the cipher list'),
('WEB-001', 'low',      2.6,    80, 'Server version in header field', 'Server: nginx/1.%', 'Turn server_tokens off'),
('WEB-002', 'medium',   5.4,   443, 'No Strict-Transport-Security', 'GET / answered 200 in % ms without it', 'Send max-age of a year'),
('WEB-003', 'medium',   4.8,   443, 'No Content-Security-Policy', '% scripts run without one', 'Start with report-only'),
('WEB-004', 'high',     8.2,  8080, 'Management console open to the network', 'GET /console: 200, % bytes', 'Bind it to the management network'),
('WEB-005', 'critical', 9.8,  8080, 'Remote code execution in template engine', 'marker echoed after % ms', 'Update to the fixed release today'),
('WEB-006', 'high',     8.1,   443, 'Path traversal in file download', 'GET /files/..%2f answered % bytes', 'Resolve the path before you check it'),
('WEB-007', 'medium',   6.5,   443, 'Cookie without HttpOnly and Secure', 'Set-Cookie: sid=%', 'Set both attributes, and SameSite'),
('WEB-008', 'low',      3.7,    80, 'Directory listing', 'Index of /backup, % entries', 'Turn autoindex off'),
('WEB-009', 'critical', 9.4,   443, 'SQL injection in search form', 'error of the database after % characters', 'Use bound parameters'),
('WEB-010', 'high',     7.1,   443, 'Cross-site scripting in error page', 'payload % came back unescaped', 'Escape what you echo'),
('WEB-011', 'medium',   5.0,    80, 'Plain HTTP is not redirected', 'GET / answered 200, % bytes', 'Redirect with 308'),
('SSH-001', 'medium',   5.3,    22, 'Password login allowed', 'auth methods: publickey, password; % ms', 'Allow keys only'),
('SSH-002', 'high',     7.8,    22, 'Outdated OpenSSH', 'SSH-2.0-OpenSSH_7.%', 'Update the package'),
('SSH-003', 'low',      3.4,    22, 'Weak message authentication codes', 'hmac-sha1-96 offered, % in list', 'Keep the etm variants of SHA-2'),
('SSH-004', 'critical', 9.0,    22, 'Root login with default password', 'session opened after % ms', 'Change it, then forbid root login'),
('SSH-005', 'medium',   4.9,    22, 'Host key shared with other hosts', 'fingerprint seen on % hosts', 'Make a key per host'),
('SMB-001', 'high',     8.1,   445, 'SMB version 1 enabled', 'dialect NT LM 0.12, % shares', 'Disable SMB 1'),
('SMB-002', 'medium',   5.9,   445, 'Message signing not required', 'NEGOTIATE answered % without it', 'Require signing'),
('SMB-003', 'high',     7.7,   445, 'Share writable by everyone', '\\public: % files writable', 'Restrict it to a group'),
('SMB-004', 'low',      3.3,   139, 'NetBIOS names are answered', '% names in the table', 'Disable NetBIOS over TCP'),
('RDP-001', 'high',     7.6,  3389, 'No network level authentication', 'PROTOCOL_RDP chosen in % ms', 'Require it'),
('RDP-002', 'critical', 9.8,  3389, 'Remote desktop flaw, exploitable without login', 'channel MS_T120 bound, slot %', 'Install the update, close the port'),
('DNS-001', 'medium',   5.8,    53, 'Open resolver', 'answered for example.com, % bytes', 'Answer your own networks only'),
('DNS-002', 'low',      2.9,    53, 'Version of BIND shown', 'version.bind: 9.%', 'Set version none'),
('DNS-003', 'medium',   5.3,    53, 'Zone transfer to anyone', 'AXFR gave % records', 'Allow the secondaries only'),
('SNMP-01', 'high',     7.5,   161, 'Community string "public"', 'sysUpTime: % days', 'Use SNMP 3'),
('SNMP-02', 'medium',   5.0,   161, 'SNMP 2c in clear text', 'GetBulk gave % objects', 'Use authPriv'),
('NTP-001', 'low',      3.0,   123, 'Time server answers mode 6 queries', 'readvar: % bytes', 'Set restrict noquery'),
('DB-0001', 'critical', 9.3,  5432, 'Database lets anyone in', 'pg_hba: trust; % tables visible', 'Use scram-sha-256'),
('DB-0002', 'high',     8.0,  6379, 'Redis without authentication', 'INFO answered, % keys', 'Set a password, bind to loopback'),
('DB-0003', 'high',     7.9, 27017, 'MongoDB without authentication', '% databases listed', 'Enable authorization'),
('DB-0004', 'medium',   6.0,  3306, 'MySQL reachable from other networks', 'greeting in % ms', 'Put a firewall in between'),
('FTP-001', 'medium',   5.7,    21, 'Anonymous FTP', 'LIST gave % entries', 'Turn it off, or use SFTP'),
('FTP-002', 'medium',   5.2,    21, 'FTP passwords in clear text', 'AUTH TLS: 5%', 'Require TLS'),
('MAIL-01', 'high',     7.2,    25, 'Open relay', 'RCPT TO <probe-%@example.org>: 250', 'Relay for your own domains only'),
('MAIL-02', 'low',      2.7,    25, 'VRFY tells who exists', 'VRFY root: 25%', 'Disable VRFY'),
('MAIL-03', 'medium',   4.6,   587, 'STARTTLS is not offered', 'EHLO: % extensions', 'Offer and require it'),
('OS-0001', 'critical', 9.6,     1, 'System is out of support', 'last update % days ago', 'Plan the upgrade'),
('OS-0002', 'high',     7.3,     1, 'Kernel updates pending', '% updates wait for a reboot', 'Reboot in the next window'),
('OS-0003', 'low',      2.4,     1, 'TCP time stamps reveal uptime', 'uptime % days', 'Accept, or set tcp_timestamps to 0');

-- Well mixed, not secret: Knuth's multiplicative hash, twice, upper bits kept. At least 0, below 2^24.
CREATE FUNCTION pg_temp.mix(a bigint) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT (((((a * 2654435761) & 4294967295) # (((a * 2654435761) & 4294967295) >> 15)) * 1597334677 & 4294967295) >> 8)::integer
$$;

CREATE TEMPORARY TABLE networks ON COMMIT DROP AS
SELECT number, name FROM unnest(ARRAY[
    'Berlin office', 'Hamburg office', 'Frankfurt data centre', 'Munich plant', 'Vienna office', 'Zurich office',
    'Leipzig warehouse', 'Guest wireless', 'Point of sale', 'Build farm', 'Web shop', 'Laboratory'
]) WITH ORDINALITY AS n (name, number);

INSERT INTO hosts
SELECT (n.number - 1) * 40 + h, n.name,
       (ARRAY['mail', 'files', 'web', 'print', 'db', 'app', 'vpn', 'desk', 'build', 'cam'])[1 + h % 10]
           || '-' || lpad(((n.number - 1) * 40 + h)::text, 3, '0') || '.example.net',
       '10.0.0.0'::inet + n.number * 65536 + 256 * (h % 4) + 10 + h,
       (ARRAY['Debian 12', 'Debian 11', 'Ubuntu 22.04', 'Windows Server 2019', 'Windows 11', 'RHEL 9', 'FreeBSD 14', 'Firmware 4.2'])
           [1 + pg_temp.mix(n.number * 40 + h) % 8]
FROM networks n, generate_series(1, 40) h;

-- In the order of time, so that the newest scan has the highest number: 12 networks, one after the other, each week.
INSERT INTO scans
SELECT week * 12 + n.number, n.name,
       (ARRAY['full', 'full', 'quick', 'authenticated'])[1 + pg_temp.mix(week * 12 + n.number) % 4],
       start, start + interval '1 second' * (1500 + pg_temp.mix(week * 12 + n.number + 9000) % 4000)
FROM generate_series(0, 33) week, networks n,
     LATERAL (SELECT timestamptz '2025-01-06 01:00:00+00' + week * interval '7 days' + n.number * interval '2 hours') t (start);

CREATE TEMPORARY TABLE problems ON COMMIT DROP AS
SELECT DISTINCT ON (host_id, check_id) *
FROM (
    SELECT n.number AS network, k,
           (n.number - 1) * 40 + 1 + pg_temp.mix(k * 31 + n.number * 7001) % 40 AS host_id,
           1 + pg_temp.mix(k * 37 + n.number * 9001) % (SELECT count(*)::integer FROM checks) AS check_id,
           pg_temp.mix(k * 41 + n.number * 11003) % 60 - 26 AS born,
           10 + pg_temp.mix(k * 43 + n.number * 13007) % 40 AS life,
           CASE pg_temp.mix(k * 47 + n.number * 17011) % 8 WHEN 0 THEN 'accepted' ELSE 'open' END AS state,
           1 + pg_temp.mix(k * 53 + n.number * 19013) % 97 AS detail
    FROM networks n, generate_series(1, 750) k) drawn
ORDER BY host_id, check_id, k;

INSERT INTO findings (scan_id, host_id, check_id, port, state, evidence, found_at)
SELECT s.id, p.host_id, p.check_id, c.port, p.state, replace(c.evidence, '%', p.detail::text),
       s.started_at + interval '1 second' * (30 + pg_temp.mix(p.k * 59 + s.id) % 1400)
FROM scans s
JOIN problems p ON p.network = 1 + (s.id - 1) % 12 AND (s.id - 1) / 12 >= p.born AND (s.id - 1) / 12 < p.born + p.life
JOIN checks c ON c.id = p.check_id
ORDER BY s.id, p.k;

CREATE INDEX findings_scan ON findings (scan_id);
CREATE INDEX findings_host_check ON findings (host_id, check_id);
CREATE INDEX scans_network_started ON scans (network, started_at);

-- Only now: a reference declared before the rows come is checked row by row, and that takes three times as long.
ALTER TABLE findings
    ADD FOREIGN KEY (scan_id) REFERENCES scans,
    ADD FOREIGN KEY (host_id) REFERENCES hosts,
    ADD FOREIGN KEY (check_id) REFERENCES checks;
