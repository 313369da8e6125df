import type { HoldingRecord } from '../../index.js';
import type { Network, PortMapping } from './network.js';

/** Kinds of holdings. A namespace is held by a launch, or waits for one; its address and ports are held by it. */
export const NAMESPACE = 'network-namespace';
export const ADDRESS = 'network-address';
export const PORT = 'network-port';
export const NETWORK = 'network';
export const SUBNET = 'network-subnet';

/** Who has a namespace that is being taken away: nobody claims it any more, and whoever finds it goes on with that. */
export const LEAVING = 'leaving';

/** What the record of a namespace says: all that is needed to take it off its network again. */
export interface ConnectionNote {
  readonly network: Network;
  /** `connecting`: whatever a driver does may have been done; while it is `making`, nothing. */
  readonly state: 'making' | 'connecting' | 'ready';
  readonly address: string | undefined;
  readonly gateway: string | undefined;
  readonly ports: readonly PortMapping[];
  /** Of the driver. */
  readonly result?: unknown;
  /** What its container is called in the network. */
  readonly names: readonly string[];
  /** Whom it asks for other names. Empty: whom the machine asks. */
  readonly dns: readonly string[];
}

/** A namespace that is connected to a network, or was to be. */
export interface ConnectionRecord extends HoldingRecord {
  readonly note: ConnectionNote;
}

/** One that cannot be read, as another release may have written it, is passed over. */
export function connectionsOf(records: readonly HoldingRecord[]): ConnectionRecord[] {
  return records.flatMap((record) => {
    try {
      return [{ ...record, note: JSON.parse(record.details ?? '') as ConnectionNote }];
    } catch {
      return [];
    }
  });
}
