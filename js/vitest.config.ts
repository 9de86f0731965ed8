import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // What needs no flag in later versions of Node.
    execArgv: ["--experimental-websocket"],
    testTimeout: 20_000,
  },
});
