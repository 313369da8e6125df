import { type RuntimeConfig, readStoredConfig, runtimeConfig } from '../image/image-config.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';

/** Records that are kept are the same object each time, and reading a config again took a fiftieth of a provision. */
const known = new WeakMap<ImageRecord, RuntimeConfig>();

/** What a container runtime needs of an image: the caller's own, which he may change. */
export function imageRuntime(image: ImageRecord): RuntimeConfig {
  const kept = known.get(image) ?? runtimeConfig(readStoredConfig(image.config));
  known.set(image, kept);
  const { env, entrypoint, cmd, labels, healthcheck } = kept;
  return {
    ...kept,
    ...{ env: [...env], entrypoint: [...entrypoint], cmd: [...cmd], labels: { ...labels } },
    ...(healthcheck && { healthcheck: { ...healthcheck, command: [...healthcheck.command] } }),
  };
}
