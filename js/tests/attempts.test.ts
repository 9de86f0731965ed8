/** The decisions about attempts, without a socket: when, how long, and whether at all. */

import { describe, expect, it } from "vitest";

import { Attempts, ceiling } from "../src/attempts.js";
import { type BridgeOptions, settingsOf } from "../src/options.js";

const OPTIONS = { minReconnectionDelay: 100, maxReconnectionDelay: 1_000 };

/** Attempts whose randomness and clock the test sets. */
function attemptsOf(options: BridgeOptions = {}, random = () => 1) {
  const clock = { now: 0 };
  const attempts = new Attempts(settingsOf({ ...OPTIONS, ...options }), random, () => clock.now);
  return { attempts, clock };
}

function delays(attempts: Attempts, codes: number[]): number[] {
  return codes.map((code) => {
    attempts.lost(code);
    return attempts.status.delay;
  });
}

describe("the wait before an attempt", () => {
  it("grows by the factor up to the cap", () => {
    const { attempts } = attemptsOf();
    expect(delays(attempts, Array(6).fill(1006))).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it("is random between nothing and that", () => {
    const { attempts } = attemptsOf({}, () => 0);
    expect(delays(attempts, [1006, 1006, 1006])).toEqual([0, 0, 0]);
    const halves = attemptsOf({}, () => 0.5);
    expect(delays(halves.attempts, [1006, 1006])).toEqual([50, 100]);
  });

  it("spreads over all of it", () => {
    const { attempts } = attemptsOf({ minReconnectionDelay: 1_000 }, Math.random);
    const tenths = new Set(delays(attempts, Array(500).fill(1006)).map((d) => Math.floor(d / 100)));
    expect([...tenths].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("is finite however often it failed", () => {
    expect(ceiling(settingsOf({}), 5_000)).toBe(20_000);
  });

  it.each([1012, 1013])("is spread where everybody was told to come back, by %i", (code) => {
    const { attempts } = attemptsOf({ spread: 5_000 });
    expect(delays(attempts, [code, 1006])).toEqual([5_000, 200]);
  });

  it("begins anew after a connection that lasted", () => {
    const { attempts, clock } = attemptsOf({ minUptime: 5_000 });
    delays(attempts, [1006, 1006]);
    attempts.opened();
    clock.now += 4_999;
    expect(delays(attempts, [1006])).toEqual([400]);
    attempts.opened();
    clock.now += 5_000;
    expect(delays(attempts, [1006])).toEqual([100]);
  });

  it("grows with attempts of which nothing was said", () => {
    const { attempts } = attemptsOf();
    attempts.begin();
    attempts.begin();
    attempts.begin();
    expect(attempts.status).toMatchObject({ attempt: 2, delay: 200, code: 1006 });
  });
});

describe("there is no further attempt", () => {
  it("after 1008", () => {
    const { attempts } = attemptsOf();
    expect(attempts.lost(1008)).toBe(false);
    expect(attempts.status).toMatchObject({ state: "closed", code: 1008 });
    expect(attempts.lost(1006)).toBe(false);
  });

  it.each([1000, 1001, 1006, 1011, 1012, 1013, 4000, 4999])("but there is after %i", (code) => {
    expect(attemptsOf().attempts.lost(code)).toBe(true);
  });

  it("after the codes of a list", () => {
    const { attempts } = attemptsOf({ finalCodes: [4001, 1000] });
    expect([4000, 4001].map((code) => attempts.lost(code))).toEqual([true, false]);
    expect(attemptsOf({ finalCodes: [4001, 1000] }).attempts.lost(1000)).toBe(false);
  });

  it("after the codes that a function names", () => {
    const finalCodes = (code: number) => code >= 4000 && code <= 4999;
    for (const code of [4000, 4999, 1008]) {
      expect(attemptsOf({ finalCodes }).attempts.lost(code)).toBe(false);
    }
    expect(attemptsOf({ finalCodes }).attempts.lost(3999)).toBe(true);
  });

  it("after so many that failed", () => {
    const { attempts } = attemptsOf({ maxRetries: 2 });
    expect([1006, 1006, 1006].map((code) => attempts.lost(code))).toEqual([true, true, false]);
    expect(attempts.status.state).toBe("closed");
  });

  it("unless it is begun anew", () => {
    const { attempts } = attemptsOf();
    attempts.lost(1008);
    attempts.restarted();
    expect(attempts.status.state).toBe("connecting");
    expect(attempts.lost(1006)).toBe(true);
  });
});
