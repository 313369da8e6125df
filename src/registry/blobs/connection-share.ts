/** Layers that may have a place on a board at a time; those beyond have one connection each. */
const PLACES = 128;
/** Connections beyond the first ones of the layers, in all: each keeps a part of its layer in memory. */
const MAX_EXTRA = 8;
/** Of each place: the number of its host, and how many connections it has. */
const FIELDS = 2;
/** A place that nobody has. */
const NO_HOST = 0;

/** What a thread needs to know of its layer's connections, and those of all others. It can be cloned; the board is shared. */
export interface ShareOfConnections {
  readonly board: Int32Array;
  readonly place: number;
  /** Connections to the host, at most. */
  readonly limit: number;
}

/** Where a process counts the connections that layers are fetched over, for the threads that fetch them. */
export class ConnectionBoard {
  readonly #board = new Int32Array(new SharedArrayBuffer(PLACES * FIELDS * Int32Array.BYTES_PER_ELEMENT));
  readonly #hosts = new Map<string, number>();

  /** @returns a place for a layer that has one connection; undefined when there is none left */
  enter(host: string, limit: number): ShareOfConnections | undefined {
    for (let place = 0; place < PLACES; place++) {
      if (this.#board[place * FIELDS] !== NO_HOST) continue;
      this.#board[place * FIELDS] = this.#numberOf(host);
      Atomics.store(this.#board, place * FIELDS + 1, 1);
      return { board: this.#board, place, limit };
    }
    return undefined;
  }

  /** Whatever its thread had, and has perhaps died with. */
  leave({ place }: ShareOfConnections): void {
    Atomics.store(this.#board, place * FIELDS + 1, 0);
    this.#board[place * FIELDS] = NO_HOST;
  }

  #numberOf(host: string): number {
    const number = this.#hosts.get(host) ?? this.#hosts.size + 1;
    this.#hosts.set(host, number);
    return number;
  }
}

/**
 * A thread's side of the board: whether its layer may have another connection. All connections to a host count against its limit, so a layer with several gives some up when others
 * begin; its first one it keeps.
 */
export class ConnectionShare {
  readonly #share: ShareOfConnections;

  constructor(share: ShareOfConnections) {
    this.#share = share;
  }

  /** @returns false when there is no room for one more */
  take(): boolean {
    const { board, place } = this.#share;
    Atomics.add(board, place * FIELDS + 1, 1);
    // Others may do so in this very moment: rather nobody gets it than both.
    if (!this.isOver()) return true;
    this.giveBack();
    return false;
  }

  giveBack(): void {
    const { board, place } = this.#share;
    Atomics.sub(board, place * FIELDS + 1, 1);
  }

  /** There are more than there may be: who has several is to give one back. */
  isOver(): boolean {
    const { board, place, limit } = this.#share;
    const host = board[place * FIELDS];
    let ofHost = 0;
    let extra = 0;
    for (let at = 0; at < board.length; at += FIELDS) {
      const connections = Atomics.load(board, at + 1);
      if (connections === 0) continue;
      extra += connections - 1;
      if (board[at] === host) ofHost += connections;
    }
    return ofHost > limit || extra > MAX_EXTRA;
  }
}
