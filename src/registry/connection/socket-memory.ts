import type { OnReadOpts, Socket } from 'node:net';
import { hideLengthBesideChunks } from './two-lengths.js';

/** Bytes in each of the two parts: as much as a socket has ready when it is asked. */
const PART_SIZE = 256 * 1024;
/** What is left of a part, in bytes, that is still worth reading into. */
const LEAST_ROOM = 64 * 1024;

/**
 * What a socket reads into, again and again. Left to itself, Node allocates 64 KiB for each read, outside V8's heap, and so much of it that V8 collected garbage
 * for 7 % of the time of a pull.
 *
 * There are two parts. While what was read into the one waits in the socket's stream, the other is read into. The stream's reader must be done with a chunk
 * when it asks for the next one, as a parser is that hands on what we copy.
 */
export class SocketMemory {
  #current = Buffer.allocUnsafeSlow(PART_SIZE);
  #other = Buffer.allocUnsafeSlow(PART_SIZE);
  /** Bytes of the current part that have been read into. */
  #used = 0;
  /** Bytes of the last read. */
  #last = 0;
  #socket: Socket | undefined;

  /** For `net.connect` and `tls.connect`. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: (length, buffer) => this.#read(length, buffer as Buffer),
  };

  /** Tells whose memory it is, when the socket is connected, before it has read a byte. */
  serve(socket: Socket): void {
    this.#socket = socket;
  }

  #room(): Buffer {
    const waiting = this.#socket?.readableLength ?? 0;
    if (waiting <= this.#last) {
      // All that waits, if anything does, came with the last read.
      if (this.#used > 0) [this.#current, this.#other] = [this.#other, this.#current];
      this.#used = 0;
    } else if (PART_SIZE - this.#used < LEAST_ROOM) {
      this.#current = Buffer.allocUnsafeSlow(PART_SIZE);
      this.#used = 0;
    }
    this.#last = 0;
    return this.#current.subarray(this.#used);
  }

  /** What Node does itself with its own memory. @returns whether to go on reading */
  #read(length: number, buffer: Buffer): boolean {
    this.#used += length;
    this.#last = length;
    // Nobody has been asked for anything before it is connected: who speaks then is not listened to.
    const read = buffer.subarray(0, length);
    hideLengthBesideChunks(read);
    return this.#socket?.push(read) ?? true;
  }
}
