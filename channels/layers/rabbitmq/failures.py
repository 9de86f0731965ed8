"""What the RabbitMQ layer raises where the broker fails: which broker it was, and what to do."""

from collections.abc import Iterable

from pika.connection import Parameters
from pika.exceptions import AMQPError

from channels.exceptions import LayerUnavailable

__all__ = ["broker_name", "guarded", "no_answer", "no_connection"]


def broker_name(parameters: Iterable[Parameters]) -> str:
    """What errors call the broker; holds no password."""
    return "RabbitMQ at " + ", ".join(f"{one.host}:{one.port}" for one in parameters)


def no_answer(broker: str, timeout: float) -> LayerUnavailable:
    """The broker said nothing for ``timeout`` seconds."""
    return LayerUnavailable(
        f"{broker} did not answer within {timeout:g} s; see whether it is paused, or short of "
        "memory or disk space, and raise timeout if it is only slow"
    )


def no_connection(broker: str, error: BaseException | None) -> LayerUnavailable:
    """The latest attempt to connect ended with ``error``."""
    return LayerUnavailable(
        f"{broker} cannot be reached: {error!r}; see whether it runs, and whether the url has the "
        "right host, virtual host, user and password"
    )


def guarded(error: BaseException) -> BaseException:
    """``error`` as the layer's callers know it."""
    if isinstance(error, AMQPError | ConnectionError) and not isinstance(error, LayerUnavailable):
        unavailable = LayerUnavailable(
            f"the connection to RabbitMQ was lost: {error!r}; it is made again by itself, so try "
            "again later"
        )
        unavailable.__cause__ = error
        return unavailable
    return error
