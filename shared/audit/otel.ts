/**
 * Traces by OpenTelemetry's own SDK, sent with OTLP over HTTP. `npm run build` makes a file of its own of this, which only a broker reads
 * that has `tracing` in its policy. Knows nothing of what is traced. Spans wait in memory for their turn to be sent: whoever makes one
 * never waits, and beyond MOST_WAITING they are dropped and counted. Decision: docs/decisions/0009-tracing.md
 */

import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
} from "@opentelemetry/api";
import { type ExportResult, ExportResultCode, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  SamplingDecision,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";

/** Some hundred requests of five spans each. */
const MOST_WAITING = 2_048;
const MOST_IN_ONE_CALL = 512;
/** How long a span waits for others to be sent with it. */
const DELAY_MS = 2_000;
/** For one call of the collector, its retries included. */
const CALL_LIMIT_MS = 2_000;
/** For all that waits when the process ends or an instance is frozen away. */
const FLUSH_LIMIT_MS = 1_000;

export interface TraceParts {
  /** Where spans are posted, path and all. */
  readonly endpoint: string;
  /** What each post says beside OTLP's own, such as a credential. */
  readonly headers: Readonly<Record<string, string>>;
  /** The part of the requests that are traced, 0 to 1. */
  readonly ratio: number;
  /** The same of those whose caller says that it traces, and only of those. */
  readonly parentRatio: number;
  /** Of the whole process. */
  readonly resource: Attributes;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** How many were dropped, each time that some are: there was no room, or the collector did not take them. */
  readonly onDropped: (count: number) => void;
  /** MOST_WAITING when left out. */
  readonly mostWaiting?: number;
}

export interface Traces {
  /**
   * Runs the work within a span that has none of this process above it. `traceparent` is the caller's: one that is not as W3C Trace Context says
   * is as if there were none.
   */
  request<T>(name: string, traceparent: string | undefined, work: () => Promise<T>): Promise<T>;
  /** Runs the work within a span below the one that it is called in; without one it is not traced. `out`: it asks somebody else. */
  span<T>(name: string, out: boolean, attributes: Attributes, work: () => Promise<T>): Promise<T>;
  /** The same for what does not wait. */
  spanNow<T>(name: string, work: () => T): T;
  /** The span that this is called in; undefined outside of any. */
  current(): Span | undefined;
  /** Sends what waits, for a second at most. Never throws. */
  flush(): Promise<void>;
}

/** `typeOf` is what an error is called in a span: never its message. */
export function openTelemetry(parts: TraceParts, typeOf: (error: unknown) => string): Traces {
  const exporter = counted(
    new OTLPTraceExporter({
      url: parts.endpoint,
      headers: { ...parts.headers },
      timeoutMillis: CALL_LIMIT_MS,
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says: the headers may have a credential in them.
      httpAgentOptions: { keepAlive: true, rejectUnauthorized: true },
    }),
    parts,
  );
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes(parts.resource),
    sampler: new ParentBasedSampler({
      root: byChance(parts.ratio, parts.random),
      remoteParentSampled: byChance(parts.parentRatio, parts.random),
    }),
    spanProcessors: [exporter.processor],
  });
  const tracer = provider.getTracer("acr-token-broker");
  const propagator = new W3CTraceContextPropagator();
  const contexts = new AsyncLocalStorage<Context>();

  async function run<T>(span: Span, context: Context, work: () => Promise<T>): Promise<T> {
    try {
      return await contexts.run(trace.setSpan(context, span), work);
    } catch (error) {
      failed(span, typeOf(error));
      throw error;
    } finally {
      span.end();
    }
  }

  return {
    request(name, traceparent, work) {
      const context = propagator.extract(ROOT_CONTEXT, { traceparent }, GETTER);
      return run(tracer.startSpan(name, { kind: SpanKind.SERVER }, context), context, work);
    },
    span(name, out, attributes, work) {
      const context = contexts.getStore();
      if (context === undefined) return work();
      const kind = out ? SpanKind.CLIENT : SpanKind.INTERNAL;
      return run(tracer.startSpan(name, { kind, attributes }, context), context, work);
    },
    spanNow(name, work) {
      const context = contexts.getStore();
      if (context === undefined) return work();
      const span = tracer.startSpan(name, {}, context);
      try {
        return work();
      } finally {
        span.end();
      }
    },
    current() {
      const context = contexts.getStore();
      return context && trace.getSpan(context);
    },
    flush: exporter.flush,
  };
}

/** https://opentelemetry.io/docs/specs/semconv/general/recording-errors/ */
export function failed(span: Span, type: string): void {
  span.setAttribute("error.type", type);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

const GETTER: TextMapGetter<{ readonly traceparent: string | undefined }> = {
  keys: () => ["traceparent"],
  get: ({ traceparent }, key) => (key === "traceparent" ? traceparent : undefined),
};

/** By our own chance, not by the trace's id as the SDK's TraceIdRatioBasedSampler does it: the caller chooses the id. */
function byChance(ratio: number, random: () => number): Sampler {
  return {
    shouldSample: () => ({
      decision: random() < ratio ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD,
    }),
    toString: () => `ByChance{${ratio}}`,
  };
}

/** The SDK's batches, with what it drops counted: it tells nobody. */
function counted(exporter: SpanExporter, { onDropped, mostWaiting = MOST_WAITING }: TraceParts) {
  let waiting = 0;
  const calls = new Set<Promise<void>>();

  const batches = new BatchSpanProcessor(
    {
      export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
        const call = new Promise<void>((resolve) => {
          exporter.export(spans, (result) => {
            waiting -= spans.length;
            if (result.code !== ExportResultCode.SUCCESS) onDropped(spans.length);
            done(result);
            resolve();
          });
        });
        calls.add(call);
        void call.then(() => calls.delete(call));
      },
      shutdown: () => exporter.shutdown(),
    },
    {
      maxQueueSize: mostWaiting,
      maxExportBatchSize: Math.min(MOST_IN_ONE_CALL, mostWaiting),
      scheduledDelayMillis: DELAY_MS,
    },
  );
  const processor: SpanProcessor = {
    onStart: (span, context) => batches.onStart(span, context),
    onEnd(span) {
      if (waiting >= mostWaiting) return onDropped(1);
      waiting++;
      batches.onEnd(span);
    },
    forceFlush: () => batches.forceFlush(),
    shutdown: () => batches.shutdown(),
  };

  async function flush(): Promise<void> {
    let limit: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      limit = setTimeout(resolve, FLUSH_LIMIT_MS);
    });
    // What fails has been counted.
    const sent = batches.forceFlush().then(
      () => Promise.all(calls),
      () => {},
    );
    await Promise.race([sent, late]);
    clearTimeout(limit);
  }

  return { processor, flush };
}
