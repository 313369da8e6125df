/** As programs tell that a name was not resolved. */
const FAILED_LOOKUPS: readonly RegExp[] = [
  // glibc, and so ping, ssh, Python and pip, Rust, Ruby; gai_strerror(3)
  /Temporary failure in name resolution|Name or service not known/,
  // musl
  /Name does not resolve|gaierror: \[Errno -?\d+\] Try again/,
  // busybox: wget, ping, nc
  /\bbad address '/,
  // curl, git, ssh; apt
  /Could not resolve (?:host|proxy|'|")/i,
  /Temporary failure resolving '/,
  // GNU wget
  /unable to resolve host address/,
  // apk
  /\bDNS: (?:transient error|no address for host|name does not exist)|temporary error \(try again later\)/,
  // Node, npm, yarn
  /\b(?:EAI_AGAIN|ENOTFOUND)\b/,
  // Go, its own resolver and that of the C library
  /\blookup \S+(?: on \S+)?: (?:\S+ udp |no such host|server misbehaving|Temporary failure)/,
  // urllib3, and so pip; Rust, and so uv and cargo; Java
  /NameResolutionError|failed to lookup address information|UnknownHostException/,
];

/** Bytes of each stream in which a program is taken to have said why it failed. */
const END = 4096;

/** The ends of what a program prints. */
export class PrintedEnds {
  readonly #ends = new Map<string, Buffer>();

  /** @param stream its name */
  add(stream: string, bytes: Uint8Array): void {
    const before = this.#ends.get(stream) ?? Buffer.alloc(0);
    // A copy: what was read is not kept for its last bytes.
    this.#ends.set(stream, Buffer.concat([before, bytes.subarray(-END)]).subarray(-END));
  }

  /** Whether a failed lookup of a name is among the last that was said. */
  tellFailedLookup(): boolean {
    return [...this.#ends.values()].some((end) => isFailedLookup(end.toString('utf8')));
  }
}

/** Whether a text has in it what programs say when a name was not resolved. */
export function isFailedLookup(text: string): boolean {
  return FAILED_LOOKUPS.some((pattern) => pattern.test(text));
}

export const NO_NETWORK_HINT =
  'names are not resolved: the container has no network; try --network bridge, or --network host';
