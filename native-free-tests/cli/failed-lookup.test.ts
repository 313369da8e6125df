import { describe, expect, it } from 'vitest';
import { isFailedLookup, PrintedEnds } from '#src/cli/running/failed-lookup.js';

describe('what programs say when a name was not resolved', () => {
  it.each([
    ['curl', 'curl: (6) Could not resolve host: example.com'],
    ['git', "fatal: unable to access 'https://github.com/a/b/': Could not resolve host: github.com"],
    ['ssh', 'ssh: Could not resolve hostname github.com: Temporary failure in name resolution'],
    ['GNU wget', 'wget: unable to resolve host address ‘example.com’'],
    ['busybox wget', "wget: bad address 'example.com'"],
    ['busybox ping', "ping: bad address 'example.com'"],
    ['ping', 'ping: example.com: Temporary failure in name resolution'],
    ['glibc', 'getent: Name or service not known'],
    ['musl', 'nc: getaddrinfo: Name does not resolve'],
    ['Python', 'socket.gaierror: [Errno -3] Temporary failure in name resolution'],
    ['Python on musl', 'socket.gaierror: [Errno -3] Try again'],
    [
      'pip',
      "NewConnectionError('<pip._vendor.urllib3…>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')",
    ],
    ['urllib3', `NameResolutionError("<HTTPSConnection…>: Failed to resolve 'pypi.org' ([Errno -2]…)")`],
    ['Node', 'Error: getaddrinfo EAI_AGAIN registry.npmjs.org'],
    ['npm', 'npm error code ENOTFOUND'],
    ['Go', 'Get "https://example.com": dial tcp: lookup example.com: no such host'],
    [
      'Go, by itself',
      'dial tcp: lookup proxy.golang.org on 127.0.0.1:53: dial udp 127.0.0.1:53: connect: network is unreachable',
    ],
    ['Go, refused', 'dial tcp: lookup a.b on [::1]:53: read udp [::1]:38024->[::1]:53: read: connection refused'],
    ['apt', "  Temporary failure resolving 'deb.debian.org'"],
    ['apt, once more', "E: Failed to fetch http://deb.debian.org/…  Could not resolve 'deb.debian.org'"],
    [
      'apk',
      'WARNING: fetching https://dl-cdn.alpinelinux.org/alpine/v3.20/main: DNS: transient error (try again later)',
    ],
    [
      'apk, up to Alpine 3.21',
      'WARNING: fetching https://dl-cdn.alpinelinux.org/alpine/v3.20/main: temporary error (try again later)',
    ],
    ['cargo', 'dns error: failed to lookup address information: Temporary failure in name resolution'],
    ['Java', 'Exception in thread "main" java.net.UnknownHostException: example.com'],
  ])('is known: %s', (_, text) => {
    expect(isFailedLookup(`before\n${text}\nafter\n`)).toBe(true);
  });

  it.each([
    'write: Bad address',
    'connect: Network is unreachable',
    'curl: (7) Failed to connect to 10.0.0.1 port 80: Connection refused',
    'npm error code ENOENT',
    'lookup table: no such entry',
    'cannot stat: Resource temporarily unavailable, try again',
    '404 Not Found',
  ])('is nothing else: %s', (text) => {
    expect(isFailedLookup(text)).toBe(false);
  });
});

describe('the ends of what was printed', () => {
  it('are looked through stream by stream, also where a message came in pieces', () => {
    const ends = new PrintedEnds();
    for (const piece of ['curl: (6) Could not ', 'resolve host: a\n']) {
      ends.add('stderr', Buffer.from(piece));
      ends.add('stdout', Buffer.from('x'.repeat(10_000)));
    }
    expect(ends.tellFailedLookup()).toBe(true);
  });

  it('do not have in them what was said long before', () => {
    const ends = new PrintedEnds();
    ends.add('stdout', Buffer.from("wget: bad address 'a'\n"));
    for (let line = 0; line < 500; line++) ends.add('stdout', Buffer.from('goes on all the same\n'));
    expect(ends.tellFailedLookup()).toBe(false);
  });
});
