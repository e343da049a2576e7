//! The exchange's HTTP port: routes, misbehaviour, and connections that can be cut mid-reply.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::{IncomingStream, Listener},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use super::{Exchange, auth::ApiError, public, trade, wallet, withdraw};
use crate::process::lock;

/// The exchange's present behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    None,
    /// 429 and code -1003 on everything.
    TooMany,
    /// 500 and code -1001 on everything; nothing is executed.
    ServerError,
    /// POSTs are executed, then the connection is cut without a reply.
    ReplyLost,
    /// 503 on everything but the system status.
    Maintenance,
    /// Orders fill by half.
    PartialFill,
    /// Every reply is late.
    Slow(Duration),
    /// Server time runs an hour (times `time_scale`) ahead.
    ClockSkew,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            Some(("slow_ms", ms)) => Self::Slow(Duration::from_millis(ms.parse().ok()?)),
            Some(_) => return None,
            None => match text {
                "none" => Self::None,
                "error_429" => Self::TooMany,
                "error_5xx" => Self::ServerError,
                "reply_lost_after_execution" => Self::ReplyLost,
                "maintenance" => Self::Maintenance,
                "partial_fill" => Self::PartialFill,
                "clock_skew" => Self::ClockSkew,
                _ => return None,
            },
        })
    }
}

/// A listener whose connections can be cut.
#[derive(Debug)]
pub(crate) struct KillableListener(pub(crate) TcpListener);

/// A connection that fails every write once it is killed.
#[derive(Debug)]
pub(crate) struct KillableStream(TcpStream, Kill);

/// Cuts one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kill(Arc<AtomicBool>);

impl Listener for KillableListener {
    type Io = KillableStream;
    type Addr = Kill;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, _) = <TcpListener as Listener>::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        let kill = Kill::default();
        (KillableStream(stream, kill.clone()), kill)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Kill::default())
    }
}

impl Connected<IncomingStream<'_, KillableListener>> for Kill {
    fn connect_info(stream: IncomingStream<'_, KillableListener>) -> Self {
        stream.remote_addr().clone()
    }
}

impl AsyncRead for KillableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for KillableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.1.0.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Serves until the exchange stops.
pub(crate) async fn serve(exchange: Arc<Exchange>, listener: KillableListener) {
    let stop = exchange.stop.clone();
    let customer = Router::new()
        .route("/api/v3/ping", get(|| async { Json(json!({})) }))
        .route("/api/v3/time", get(public::time))
        .route("/api/v3/exchangeInfo", get(public::info))
        .route("/api/v3/ticker/bookTicker", get(public::book_ticker))
        .route("/api/v3/depth", get(public::depth))
        .route("/api/v3/order", post(trade::place).get(trade::query))
        .route("/api/v3/myTrades", get(trade::trades))
        .route("/api/v3/account", get(trade::account))
        .route("/sapi/v1/capital/deposit/address", get(wallet::address))
        .route("/sapi/v1/capital/deposit/hisrec", get(wallet::history))
        .route("/sapi/v1/capital/withdraw/apply", post(withdraw::apply))
        .route("/sapi/v1/capital/withdraw/history", get(withdraw::history))
        .route("/kraken/0/public/Ticker", get(public::kraken))
        .route("/coinbase/products/{product}/ticker", get(public::coinbase))
        .route("/hardware/v1/prices", get(public::hardware))
        .layer(middleware::from_fn_with_state(exchange.clone(), misbehaving));
    let app = customer
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/sapi/v1/system/status", get(system_status))
        .route("/admin/misbehave", post(misbehave))
        .route("/admin/scenario", post(scenario))
        .route("/admin/wallet", get(hot_wallet))
        .with_state(exchange)
        .into_make_service_with_connect_info::<Kill>();
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!("http: {error}");
    }
}

async fn misbehaving(
    State(exchange): State<Arc<Exchange>>,
    ConnectInfo(kill): ConnectInfo<Kill>,
    request: Request,
    next: Next,
) -> Response {
    let mode = *exchange.mode.borrow();
    let error =
        |status, code, msg: &str| ApiError { status, code, msg: msg.into() }.into_response();
    match mode {
        Mode::TooMany => {
            let msg = "Too many requests; current limit is 6000 request weight per 1 MINUTE.";
            let mut reply = error(StatusCode::TOO_MANY_REQUESTS, -1003, msg);
            reply.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("1"));
            reply
        }
        Mode::ServerError => {
            let msg = "Internal error; unable to process your request. Please try again.";
            error(StatusCode::INTERNAL_SERVER_ERROR, -1001, msg)
        }
        Mode::Maintenance => {
            error(StatusCode::SERVICE_UNAVAILABLE, -1016, "This service is no longer available.")
        }
        Mode::Slow(time) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
        Mode::ReplyLost => {
            let lost = request.method() == Method::POST;
            let reply = next.run(request).await;
            if lost {
                kill.0.store(true, Ordering::Release);
            }
            reply
        }
        Mode::None | Mode::PartialFill | Mode::ClockSkew => next.run(request).await,
    }
}

async fn system_status(State(exchange): State<Arc<Exchange>>) -> Json<Value> {
    match *exchange.mode.borrow() {
        Mode::Maintenance => Json(json!({"status": 1, "msg": "system maintenance"})),
        _ => Json(json!({"status": 0, "msg": "normal"})),
    }
}

type Admin = Result<Json<Value>, (StatusCode, Json<Value>)>;

fn refuse(message: impl ToString) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({"error": message.to_string()})))
}

async fn misbehave(State(exchange): State<Arc<Exchange>>, Json(body): Json<Value>) -> Admin {
    let text = body.get("mode").and_then(Value::as_str).unwrap_or_default();
    let mode = Mode::parse(text).ok_or_else(|| refuse(format!("unknown mode {text:?}")))?;
    tracing::info!(?mode, "misbehave");
    exchange.mode.send_replace(mode);
    Ok(Json(json!({"mode": text})))
}

async fn scenario(State(exchange): State<Arc<Exchange>>, Json(body): Json<Value>) -> Admin {
    lock(&exchange.market).change(&body).map(Json).map_err(refuse)
}

/// Addresses and balances of the exchange's own wallets: fund them here.
async fn hot_wallet(State(exchange): State<Arc<Exchange>>) -> Admin {
    let mut all = serde_json::Map::new();
    for (coin, node) in &exchange.nodes {
        let address = node.new_address("hot").await.map_err(refuse)?;
        let balances = node.wallet_call("getbalances", json!([])).await.map_err(refuse)?;
        let mine = balances.get("mine").cloned().unwrap_or_default();
        all.insert(coin.clone(), json!({"address": address, "balances": mine}));
    }
    Ok(Json(Value::Object(all)))
}
