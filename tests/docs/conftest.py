"""Players of pages, for the tests that type what pages show."""

import pytest

from services.pages_player import Player, newcomers_environment


@pytest.fixture
def newcomer(tmp_path):
    """Gives players; each has a folder and a home in which nothing is."""
    players = []

    def player(*, path, **options):
        home, folder = tmp_path / "home", tmp_path / "folder"
        home.mkdir()
        folder.mkdir()
        environment = newcomers_environment(home, path=path)
        players.append(Player(folder, environment, **options))
        return players[-1]

    yield player
    for one in players:
        one.close()
