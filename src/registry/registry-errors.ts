import type { ErrorCode } from '../base/codes/code-tables.js';
import { abortedError, type ErrorDetails, isProvisionerError, ProvisionerError } from '../base/errors.js';
import { WrongCoding } from './connection/content-coding.js';
import { TooSlow } from './connection/pace.js';
import { ProxyFailure } from './connection/proxy-failure.js';
import { WrongZone } from './connection/zones.js';
import { MAX_HEADER_SIZE } from './endpoint.js';
import { answerInWords, type RegistryWords } from './registry-words.js';
import { parseRetryAfter, TOO_SLOW } from './retry.js';

/** The complaints about registries. None of them ever holds a header, a query or a body: those may hold secrets. What a registry says of a refusal is told when that has been taken out of it. */

/** What was asked of whom, for messages: `the manifest app:v1`, `registry.example:5000`. */
export interface Asked {
  readonly subject: string;
  readonly host: string;
}

/** @param words what it says of that */
export function statusError(
  { subject, host }: Asked,
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  words: RegistryWords,
): ProvisionerError {
  const answer = answerInWords(status, words);
  const retryAfter = parseRetryAfter([headers['retry-after']].flat()[0]);
  const details: ErrorDetails = {
    host,
    status,
    ...(words.code === undefined ? {} : { answer: words.code }),
    ...(words.message === undefined ? {} : { said: words.message }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
  switch (status) {
    case 401:
      return unauthorized({ subject, host }, false, { words });
    case 403:
      return new ProvisionerError('ERR_REGISTRY_DENIED', `${host} denies access to ${subject}: ${answer}`, {
        hint: 'the account may not pull this repository: log in with one that may',
        details,
      });
    case 429: {
      const until = retryAfter === undefined ? '' : `, and asks to be left alone for ${retryAfter} s`;
      return new ProvisionerError('ERR_REGISTRY_BUSY', `${host} takes no more requests now: ${answer}${until}`, {
        hint: 'try again later; an account or a mirror may have a higher limit',
        details,
      });
    }
    default:
      return failed({ subject, host }, `it answered with ${answer}`, { details });
  }
}

interface Refusal {
  /** The host that refused, where it is another one. */
  readonly realm?: string;
  /** Default: 401. */
  readonly status?: number;
  /** What it says of that. */
  readonly words?: RegistryWords;
  /** It asks who we are, and does not say how to tell it. */
  readonly mute?: boolean;
}

/** @param tried credentials were sent, and refused */
export function unauthorized(
  { subject, host }: Asked,
  tried: boolean,
  { realm, status = 401, words = {}, mute = false }: Refusal = {},
): ProvisionerError {
  const who = realm === undefined || realm === host ? host : `${realm}, which signs tokens for ${host},`;
  const said = words.code === undefined && words.message === undefined ? '' : `: ${answerInWords(status, words)}`;
  const message = tried
    ? `${who} does not accept the credentials for ${subject}${said}`
    : `${who} wants to know who asks for ${subject}${said}`;
  if (mute) {
    return new ProvisionerError(
      'ERR_REGISTRY_UNAUTHORIZED',
      `${message}, but not how to be told: its answer has no WWW-Authenticate, so the credentials were not shown to it`,
      {
        hint: 'the registry, or a proxy before it, is set up wrongly: tell its operator',
        details: { host, status: 401 },
      },
    );
  }
  return new ProvisionerError('ERR_REGISTRY_UNAUTHORIZED', message, {
    hint: tried
      ? 'check the name and the password, or log in again with `provisioner login`'
      : 'check the name of the repository; if it is private, log in with `provisioner login`, or use --authfile or --creds',
    // What was tried and refused is no better by another method.
    details: { host, ...(tried ? {} : { status: 401 }) },
  });
}

/** The host takes no tokens, and no name is known. */
export function wantsPassword({ subject, host }: Asked): ProvisionerError {
  return new ProvisionerError(
    'ERR_REGISTRY_UNAUTHORIZED',
    `${host} asks for a name and a password for ${subject}, and all that is known is an identity token`,
    { hint: 'log in with a name and a password, or use --creds', details: { host } },
  );
}

export function failed(
  { subject, host }: Asked,
  problem: string,
  options: { readonly cause?: unknown; readonly hint?: string; readonly details?: ErrorDetails } = {},
): ProvisionerError {
  return new ProvisionerError('ERR_REGISTRY_FAILED', `${host} cannot give ${subject}: ${problem}`, {
    ...options,
    details: { host, ...options.details },
  });
}

/** A setting that cannot be used: a file, or a program that gives credentials. */
export function badSetting(problem: string, hint: string, details: ErrorDetails, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_REGISTRY_CONFIG', problem, { hint, details, cause });
}

/** Certificates that Node does not trust, and why. @see nodejs.org/api/tls.html, "X509 certificate error codes" */
const UNTRUSTED: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'signed by an unknown authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'signed by an unknown authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'signed by itself',
  CERT_HAS_EXPIRED: 'out of date',
  CERT_NOT_YET_VALID: 'not valid yet',
  CERT_REVOKED: 'revoked',
  CERT_UNTRUSTED: 'not trusted',
  INVALID_CA: 'signed by something that is no authority',
  INVALID_PURPOSE: 'made for another purpose',
  HOSTNAME_MISMATCH: 'for another host',
  ERR_TLS_CERT_ALTNAME_INVALID: 'for another host',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'malformed',
};

/** The code of whatever went wrong on the way to a server or back: Node's, OpenSSL's or undici's own. */
export function transportCode(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const { code, cause, errors } = error as NodeJS.ErrnoException & { errors?: unknown[] };
  if (typeof code === 'string') return code;
  return transportCode(errors?.[0] ?? cause);
}

/** An answer in plain text where TLS was spoken. */
export function speaksNoTls(error: unknown): boolean {
  return ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_HTTP_REQUEST', 'EPROTO'].includes(
    transportCode(error),
  );
}

/** What happened to a request that got no answer, or only part of one. */
export function transportError(
  { subject, host }: Asked,
  error: unknown,
  signal: AbortSignal | undefined,
): ProvisionerError {
  if (isProvisionerError(error)) return error;
  if (signal?.aborted) return abortedError(signal);
  if (error instanceof ProxyFailure) return proxyError({ subject, host }, error);
  if (error instanceof WrongZone) {
    return failed({ subject, host }, `its name is one for this machine, and ${error.message}`, {
      cause: error,
      hint: 'check /etc/hosts and the name server',
      details: { address: error.address },
    });
  }
  if (error instanceof WrongCoding) return failed({ subject, host }, error.message, { cause: error });
  if (error instanceof TooSlow) return slowError({ subject, host }, error);
  const errno = transportCode(error);
  const details: ErrorDetails = { host, ...(errno === '' ? {} : { errno }) };
  const fault = UNTRUSTED[errno];
  if (fault !== undefined) {
    return new ProvisionerError('ERR_REGISTRY_TLS', `the certificate of ${host} is ${fault}`, {
      cause: error,
      hint: 'give the authority that signed it with --cert-dir DIR (as ca.crt), or in hosts.toml; --tls-verify=false trusts anybody',
      details,
    });
  }
  if (errno.startsWith('ERR_SSL_') || errno === 'EPROTO') return tlsError(host, errno, { cause: error, details });
  const malformed = MALFORMED[errno];
  if (malformed !== undefined) {
    return failed({ subject, host }, malformed, {
      cause: error,
      hint: 'the registry, or a proxy before it, is set up wrongly: tell its operator',
      details: { errno },
    });
  }
  const [problem, hint] = REASONS[errno] ?? [
    `the connection broke${errno === '' ? '' : ` (${errno})`}`,
    'check the network and the registry, and try again',
  ];
  const code: ErrorCode = 'ERR_REGISTRY_UNREACHABLE';
  return new ProvisionerError(code, `cannot get ${subject} from ${host}: ${problem}`, { cause: error, hint, details });
}

function slowError({ subject, host }: Asked, error: TooSlow): ProvisionerError {
  const { bytes, milliseconds, limit } = error;
  return new ProvisionerError(
    'ERR_REGISTRY_UNREACHABLE',
    `cannot get ${subject} from ${host}: it sends too slowly: ${error.message}, and ${limit} a second are the least`,
    {
      cause: error,
      hint: 'try again later, or allow it with the option registry.minBytesPerSecond',
      details: { host, errno: TOO_SLOW, bytes, milliseconds, limit },
    },
  );
}

/** What a server says of a certificate of ours. @see RFC 8446, section 6.2 */
const CLIENT_CERTIFICATE_ALERT =
  /_ALERT_(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_(?:UNKNOWN|EXPIRED|REVOKED))$/;

function tlsError(
  host: string,
  errno: string,
  options: { readonly cause: unknown; readonly details: ErrorDetails },
): ProvisionerError {
  let problem = `no secure connection to ${host}: ${errno}`;
  let hint = 'the registry may want a client certificate: give it with --cert-dir DIR, or in hosts.toml';
  if (speaksNoTls(options.cause)) {
    problem = `${host} does not speak TLS`;
    hint = 'if it is to be reached over plain HTTP, say so with --tls-verify=false, or as http:// in hosts.toml';
  } else if (CLIENT_CERTIFICATE_ALERT.test(errno)) {
    problem = errno.endsWith('_REQUIRED')
      ? `${host} wants to see a client certificate`
      : `${host} does not accept the client certificate, or the lack of one: ${errno}`;
    hint = 'give a client certificate that the registry knows, with its key, with --cert-dir DIR or in hosts.toml';
  }
  return new ProvisionerError('ERR_REGISTRY_TLS', problem, { ...options, hint });
}

/** Nothing of this is the host's doing, which may never have been asked. */
function proxyError({ subject, host }: Asked, failure: ProxyFailure): ProvisionerError {
  const { proxy, status } = failure;
  const errno = transportCode(failure.cause);
  const fault = UNTRUSTED[errno];
  let problem = REASONS[errno]?.[0] ?? `the connection broke${errno === '' ? '' : ` (${errno})`}`;
  let hint =
    'check the proxy, and whether this host is to be reached by way of it: hosts.toml, https_proxy, http_proxy, no_proxy';
  if (fault !== undefined) problem = `its certificate is ${fault}`;
  else if (speaksNoTls(failure.cause)) problem = 'it does not speak TLS itself: its URL is to begin with http://';
  if (status === 407) {
    problem = 'it wants to know who asks: status 407';
    hint = 'give the name and the password for the proxy in its URL: http://NAME:PASSWORD@HOST:PORT';
  } else if (status !== undefined) {
    problem = `it makes no connection: status ${status}`;
  }
  return new ProvisionerError(
    'ERR_REGISTRY_UNREACHABLE',
    `cannot get ${subject} from ${host} by way of the proxy ${proxy}: ${problem}`,
    {
      cause: failure,
      hint,
      details: {
        host,
        proxy,
        ...(errno === '' ? {} : { errno }),
        ...(status === undefined ? {} : { status }),
      },
    },
  );
}

/** Answers that are the same the next time. */
const MALFORMED: Readonly<Record<string, string>> = {
  UND_ERR_HEADERS_OVERFLOW: `its answer has more than ${MAX_HEADER_SIZE / 1024} KiB of headers`,
  HPE_UNEXPECTED_CONTENT_LENGTH: 'its answer states a length twice: Content-Length, and chunks',
  HPE_INVALID_TRANSFER_ENCODING: 'its answer states a length twice: Content-Length, and chunks',
};

const TRY_AGAIN = 'check the network and the registry, and try again';

const REASONS: Readonly<Record<string, readonly [problem: string, hint: string]>> = {
  ECONNREFUSED: ['nobody listens there', 'check the name and the port, and whether the registry runs'],
  ENOTFOUND: ['its name is not known', 'check the name of the registry, and the network'],
  EAI_AGAIN: ['its name cannot be looked up now', TRY_AGAIN],
  EHOSTUNREACH: ['there is no way to it', TRY_AGAIN],
  ENETUNREACH: ['there is no way to it', TRY_AGAIN],
  UND_ERR_CONNECT_TIMEOUT: ['it does not take the connection', TRY_AGAIN],
  ETIMEDOUT: ['it does not take the connection', TRY_AGAIN],
  UND_ERR_HEADERS_TIMEOUT: ['it does not answer', TRY_AGAIN],
  UND_ERR_BODY_TIMEOUT: ['it stopped in the middle of its answer', TRY_AGAIN],
};
