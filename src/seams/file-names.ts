import type { TreeEntry, TreeVisitor } from '../files/contents/contents.js';
import { ContentsReader } from '../files/contents/contents-file.js';
import { RecordFileError } from '../files/contents/record-file.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import { join } from '../unpack/entry-path.js';

export interface FileNamesOptions {
  /** Called often; may throw. */
  readonly pause: () => void;
  /** Told of the length of each path that is remembered; may throw. */
  readonly keep: (bytes: number) => void;
}

/** The names that the files of layers have in their own layers. A layer's record is read when it is first asked for, and of it only the names of files that have several are kept. */
export class FileNames {
  readonly #layers: readonly string[];
  readonly #options: FileNamesOptions;
  readonly #known = new Map<number, ReadonlyMap<BytePath, readonly BytePath[]>>();

  /** @param layers directories of layers, not of their files */
  constructor(layers: readonly string[], options: FileNamesOptions) {
    this.#layers = layers;
    this.#options = options;
  }

  /** All names of the file that is called `path` in a layer, that one among them. A layer whose record is missing, since an older release stored it, tells of one. */
  of(layer: number, path: BytePath): readonly BytePath[] {
    let names = this.#known.get(layer);
    if (names === undefined) {
      names = this.#read(this.#layers[layer] ?? '');
      this.#known.set(layer, names);
    }
    return names.get(path) ?? [path];
  }

  #read(directory: string): ReadonlyMap<BytePath, readonly BytePath[]> {
    const collector = new Collector(this.#options.keep);
    let record: ContentsReader | undefined;
    try {
      record = ContentsReader.open(directory);
      record.read(collector, this.#options.pause);
    } catch (error) {
      // Whether it is damaged is for a check to find.
      if (!(error instanceof RecordFileError)) throw error;
    } finally {
      record?.close();
    }
    return collector.names;
  }
}

class Collector implements TreeVisitor {
  readonly names = new Map<BytePath, readonly BytePath[]>();
  readonly #keep: (bytes: number) => void;
  readonly #groups = new Map<number, BytePath[]>();
  /** Of the directories on the way, the root's is empty. */
  readonly #paths: BytePath[] = [];

  constructor(keep: (bytes: number) => void) {
    this.#keep = keep;
  }

  enter({ name }: TreeEntry): void {
    const above = this.#paths.at(-1);
    this.#paths.push(above === undefined ? '' : join(above, name));
  }

  entry({ name, group }: TreeEntry): void {
    if (group === 0) return;
    const path = join(this.#paths.at(-1) ?? '', name);
    this.#keep(path.length);
    const names = this.#groups.get(group) ?? [];
    names.push(path);
    this.#groups.set(group, names);
    this.names.set(path, names);
  }

  leave(): void {
    this.#paths.pop();
  }
}
