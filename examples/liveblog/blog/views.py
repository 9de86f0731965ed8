"""The pages: all blogs, one that is read, and one that is written. They know nothing of sockets."""

from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from blog.models import Blog, Post

BlogForm = modelform_factory(Blog, fields=["title", "slug"])
PostForm = modelform_factory(Post, fields=["text"])


def index(request: HttpRequest) -> HttpResponse:
    """List the blogs, and begin new ones."""
    form = BlogForm(request.POST or None)
    if form.is_valid():
        return redirect("write", form.save().slug)
    return render(request, "blog/index.html", {"blogs": Blog.objects.all(), "form": form})


def read(request: HttpRequest, slug: str) -> HttpResponse:
    """The page of a blog, which stays up to date."""
    blog = get_object_or_404(Blog, slug=slug)
    return render(request, "blog/read.html", {"blog": blog})


def write(request: HttpRequest, slug: str) -> HttpResponse:
    """Add a post. A project lets its authors do this, and nobody else."""
    blog = get_object_or_404(Blog, slug=slug)
    form = PostForm(request.POST or None, instance=Post(blog=blog))
    if form.is_valid():
        form.save()
        return redirect("write", slug)
    return render(request, "blog/write.html", {"blog": blog, "form": form})


@require_POST
def change(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Change or delete a post."""
    post = get_object_or_404(Post, pk=pk, blog__slug=slug)
    form = PostForm(request.POST, instance=post)
    if "delete" in request.POST:
        post.delete()
    elif form.is_valid():
        form.save()
    return redirect("write", slug)
