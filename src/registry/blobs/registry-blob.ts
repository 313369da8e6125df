import type { Digest } from '../../image/digest.js';
import type { Patience } from '../connection/pace.js';
import type { Authorization } from '../credentials/authentication.js';
import type { Endpoint } from '../endpoint.js';
import type { ShareOfConnections } from './connection-share.js';

/** A blob in a registry, with all that another thread needs to fetch it. It can be cloned; it holds secrets and is never printed. */
export interface RegistryBlob extends Patience {
  readonly kind: 'registry';
  readonly repository: string;
  readonly digest: Digest;
  /** Bytes, as the manifest says. */
  readonly size: number;
  /** Those that may be asked for it, in order; at least one. */
  readonly sources: readonly BlobSource[];
  /** Where else it may be had, when none of them has it. Default: nowhere. */
  readonly urls?: readonly string[];
  /** Connections to one host that layers are fetched over, at most. */
  readonly connectionsPerHost: number;
  /** Further attempts at the last of the endpoints, after one that came to nothing. */
  readonly retries: number;
  /** A `Content-Encoding` is left as it is: it has been found to say what the layer is, and not what was done to it on the way. Default: false. */
  readonly keepsCoding?: boolean;
  /** It is read over one connection whatever that brings: parts of it that came over several were wrong. Default: false. */
  readonly oneConnection?: boolean;
  /** Its place among those who fetch from that host. Default: it has one connection. */
  readonly share?: ShareOfConnections | undefined;
}

export interface BlobSource {
  readonly endpoint: Endpoint;
  /** What it wants to see, when that is known. */
  readonly authorization: Authorization | undefined;
}

/** A host that failed, while another one may still do. */
export interface PassedOver {
  readonly host: string;
  /** An error code. */
  readonly code: string;
  readonly message: string;
}
