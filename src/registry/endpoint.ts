/**
 * One host that may be asked for the images of a registry: the registry itself, or a mirror of it. Everything that a request to it needs is in
 * here, and all of it can be cloned, so that a worker thread can make requests too.
 */
export interface Endpoint {
  /** Host name or address, with a port where one is written: `registry.example:5000`. */
  readonly host: string;
  /** `either`: TLS, and plain HTTP where the host turns out not to speak TLS. */
  readonly scheme: 'https' | 'http' | 'either';
  /** Before the repository: `/v2`, or what `override_path` says instead. No slash at the end. */
  readonly path: string;
  /** Told to a mirror: the registry whose image is meant. */
  readonly namespace?: string | undefined;
  /** May be asked which digest a tag has. A mirror that is not trusted with that still serves digests, since those prove what it serves. */
  readonly resolves: boolean;
  /** May be asked for manifests and blobs. */
  readonly pulls: boolean;
  readonly tls: TlsSettings;
  /** Sent with each request to this host, never to another one that it redirects to. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** A proxy's URL, instead of what the environment says. */
  readonly proxy?: string | undefined;
  /** Milliseconds for making a connection. Default: `CONNECT_TIMEOUT`. */
  readonly connectTimeout?: number | undefined;
  readonly credentials?: Credentials | undefined;
  /** Origins, `http://127.0.0.1:8080`, that it may send us to wherever they are: the user has named them. Default: none. */
  readonly maySendTo?: readonly string[] | undefined;
}

export interface TlsSettings {
  /** False trusts any certificate. */
  readonly verify: boolean;
  /** PEM texts of authorities to trust besides the usual ones. */
  readonly ca: readonly string[];
  /** PEM texts to identify oneself with. */
  readonly client?: { readonly cert: string; readonly key: string } | undefined;
}

/** A name and a password, or a token that is exchanged for others. Never printed. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string }
  | { readonly kind: 'bearer'; readonly token: string };

/** The `Authorization` for a name and a password; undefined for whoever has none. @see RFC 7617 */
export function basic(credentials: Credentials | undefined): string | undefined {
  if (credentials?.kind !== 'password') return undefined;
  const { username, password } = credentials;
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Milliseconds for making a connection, TLS included. */
export const CONNECT_TIMEOUT = 10_000;

/** Bytes of headers that an answer may have. Node's own 16 KiB are less than policies and cookies of some servers take; Go takes 1 MiB. */
export const MAX_HEADER_SIZE = 128 * 1024;

/** Without the port, and without the brackets of an IPv6 address. */
export function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(host);
  return (bracketed?.[1] ?? host.replace(/:\d+$/, '')).toLowerCase();
}
